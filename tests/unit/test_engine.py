"""What a bundle serves: eight bits where they answer as fp32 does on rows they were not calibrated on, else the next rung."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, ElectraConfig

from headgate.model.bundle import open_bundle
from headgate.model.classifier import TransformerClassifier
from headgate.model.engine import sample
from headgate.model.engine_check import Checked
from headgate.model.filters import FilterConfig
from headgate.model.network import Network
from headgate.model.runtime import Runtime
from headgate.model.wrapping import wrap

WORDS = ["yes", "no", "please", "stop", "budget", "price", "expensive", "call", "thursday", "remove", "list", "me"]
LABELS = ("positive", "objection/budget", "unsubscribe")


def made_up_rows(count: int) -> list[tuple[str, str]]:
    generator = np.random.default_rng(0)
    texts = {" ".join(generator.choice(WORDS, generator.integers(1, 9))) for _ in range(2 * count)}
    return [(text, LABELS[number % 3]) for number, text in enumerate(sorted(texts)[:count])]


ROWS = made_up_rows(150)


def engine(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "engine.json").read_text()))


def last_line(bundle: Path) -> str:
    return (bundle / "model_card.md").read_text().splitlines()[-1]


def decided(classifier: Path, rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rows that the tiny classifier is sure enough about: eight bits may turn a tie, and which rows tie depends on the training CPU."""
    chances = np.sort(TransformerClassifier.load(classifier).predict_proba([text for text, _ in rows]), axis=1)
    return [row for row, gap in zip(rows, chances[:, -1] - chances[:, -2], strict=True) if gap > 0.05]


@pytest.fixture(scope="module")
def rows(tiny_classifier: Path) -> list[tuple[str, str]]:
    found = decided(tiny_classifier, made_up_rows(250))[:150]
    assert len(found) == 150
    return found


@pytest.fixture(scope="module")
def in_eight_bits(tiny_classifier: Path, rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wrap(tiny_classifier, tmp_path_factory.mktemp("engine") / "bundle", FilterConfig(), {}, rows=rows).path


@pytest.fixture
def altered(tiny_classifier: Path, tmp_path: Path) -> Callable[[Callable[[Network], Network | None]], Path]:
    """The tiny classifier with other weights, or another network, saved anew."""

    def save(change: Callable[[Network], Network | None]) -> Path:
        classifier = TransformerClassifier.load(tiny_classifier)
        with torch.no_grad():
            classifier.network_ = change(classifier.network_) or classifier.network_
        classifier.save(tmp_path / "altered")
        return tmp_path / "altered"

    return save


def test_with_rows_a_bundle_serves_eight_bits_and_keeps_the_reference(in_eight_bits: Path) -> None:
    found = engine(in_eight_bits)
    assert (found["precision"], found["file"], found["reference"], found["reason"]) == ("int8", "model.int8.onnx", "model.onnx", None)
    assert {"model.onnx", "model.int8.onnx"} <= set(open_bundle(in_eight_bits).manifest["files"])
    checked = found["checked"]
    assert checked["rows"] == 90
    assert checked["max_probability_change_in_batch"] <= 1e-5
    assert checked["agreement"] >= 0.995
    assert checked["mean_probability_error"] <= 0.01
    assert found["tried"] == [{"precision": "int8", **checked, "faults": []}]
    assert last_line(in_eight_bits).startswith("Served in int8. Against fp32 on 90 training rows: the same label for 100.00%, accuracy")


def test_what_is_served_is_close_to_the_classifier_and_the_reference_closer(in_eight_bits: Path, tiny_classifier: Path) -> None:
    texts = [text for text, _ in ROWS]
    expected = TransformerClassifier.load(tiny_classifier).predict_proba(texts)
    served, reference = Runtime.load(in_eight_bits), Runtime.load(in_eight_bits, reference=True)
    np.testing.assert_allclose(reference.probabilities(texts), expected, atol=1e-5)
    np.testing.assert_allclose(served.probabilities(texts), expected, atol=0.05)
    assert np.abs(served.probabilities(texts) - expected).max() > 1e-5


def test_in_eight_bits_an_answer_does_not_depend_on_its_batch(in_eight_bits: Path) -> None:
    runtime, texts = Runtime.load(in_eight_bits), [text for text, _ in ROWS]
    alone = np.concatenate([runtime.probabilities([text]) for text in texts])
    np.testing.assert_allclose(runtime.probabilities(texts), alone, atol=1e-5)
    np.testing.assert_allclose(runtime.probabilities(texts[::-1])[::-1], alone, atol=1e-5)


def test_the_order_of_the_rows_does_not_matter(
    in_eight_bits: Path, rows: list[tuple[str, str]], tiny_classifier: Path, tmp_path: Path
) -> None:
    again = wrap(tiny_classifier, tmp_path / "again", FilterConfig(), {}, rows=rows[::-1] + rows[:10])
    assert again.digest == open_bundle(in_eight_bits).digest


def test_without_rows_it_serves_fp32_and_says_why(bundle: Path) -> None:
    found = engine(bundle)
    assert (found["precision"], found["file"], found["checked"], found["tried"]) == ("fp32", "model.onnx", None, [])
    assert found["reason"] == "no rows were given to calibrate on"
    assert last_line(bundle) == "Served in fp32 (no rows were given to calibrate on)."


def test_with_few_rows_it_serves_fp32_and_says_why(tiny_classifier: Path, tmp_path: Path) -> None:
    wrap(tiny_classifier, tmp_path / "b", FilterConfig(), {}, rows=ROWS[:40] * 3 + [("  ", "positive")])
    assert engine(tmp_path / "b")["reason"] == "40 different texts are too few to calibrate on and to check 30 others"
    assert not (tmp_path / "b" / "model.int8.onnx").exists()


def test_another_architecture_is_exported_and_served_in_fp32(
    altered: Callable[[Callable[[Network], Network | None]], Path], tmp_path: Path
) -> None:
    def electra(network: Network) -> Network:
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        config = ElectraConfig(vocab_size=network.encoder.config.vocab_size, embedding_size=32, **sizes)
        return Network(AutoModel.from_config(config), labels=3).eval()

    classifier = altered(electra)
    wrap(classifier, tmp_path / "b", FilterConfig(), {}, rows=ROWS)
    assert engine(tmp_path / "b")["precision"] == "fp32"
    assert last_line(tmp_path / "b") == (
        "Served in fp32 (this architecture is exported as it is; BERT, RoBERTa, XLM-R and DistilBERT encoders are served in eight bits)."
    )
    texts = [text for text, _ in ROWS[:20]]
    expected = TransformerClassifier.load(classifier).predict_proba(texts)
    np.testing.assert_allclose(Runtime.load(tmp_path / "b").probabilities(texts), expected, atol=1e-4)


def of_small_differences(first: torch.nn.Linear, second: torch.nn.Linear) -> None:
    """Channels in pairs that differ by less than a step of eight bits; what is put out is that difference, made large."""
    first.weight[1::2], first.bias[1::2] = first.weight[::2] * 1.002, first.bias[::2]
    second.weight[:, ::2] = 300 * torch.sign(second.weight[:, ::2])
    second.weight[:, 1::2] = -second.weight[:, ::2]


def coarse_feed_forward(network: Network) -> None:
    for layer in network.encoder.encoder.layer:
        of_small_differences(layer.intermediate.dense, layer.output.dense)


def coarse_attention(network: Network) -> None:
    for layer in network.encoder.encoder.layer:
        of_small_differences(layer.attention.self.value, layer.attention.output.dense)


def test_where_eight_bits_are_too_coarse_for_the_second_feed_forward_product_it_is_in_fp32(
    altered: Callable[[Callable[[Network], Network | None]], Path], tmp_path: Path
) -> None:
    wrap(altered(coarse_feed_forward), tmp_path / "b", FilterConfig(), {}, rows=ROWS)
    found = engine(tmp_path / "b")
    assert found["precision"] == "int8-mixed"
    assert [one["precision"] for one in found["tried"]] == ["int8", "int8-mixed"]
    assert found["tried"][0]["faults"]
    assert found["reason"].startswith("int8: ")
    assert last_line(tmp_path / "b").startswith(f"Served in int8-mixed ({found['reason']}). Against fp32 on 90 training rows: ")


def test_where_no_eight_bits_will_do_it_serves_fp32(altered: Callable[[Callable[[Network], Network | None]], Path], tmp_path: Path) -> None:
    wrap(altered(coarse_attention), tmp_path / "b", FilterConfig(), {}, rows=ROWS)
    found = engine(tmp_path / "b")
    assert (found["precision"], found["file"]) == ("fp32", "model.onnx")
    assert [one["precision"] for one in found["tried"]] == ["int8", "int8-mixed", "fp32"]
    assert not (tmp_path / "b" / "model.int8.onnx").exists()


def test_what_fails_is_told_with_its_bound() -> None:
    assert Checked(500, 2e-5, 0.99, -0.004, 0.02).faults == [
        "a probability changes by 2e-05 with what shares the batch (at most 1e-05 is allowed)",
        "99.00% of the labels are those of fp32 (at least 99.5% are required)",
        "accuracy changes by -0.40 points (a loss of 0.3 is allowed)",
        "the mean probability error is 0.02 (at most 0.01 is allowed)",
    ]
    assert Checked(500, 1e-5, 0.995, -0.003, 0.01).faults == []


def test_rows_to_calibrate_and_to_check_are_different_texts() -> None:
    calibration, held = sample((f"text {number}", "a") for number in range(2000))
    assert (len(calibration), len(held)) == (320, 500)
    assert not {text for text, _ in calibration} & {text for text, _ in held}
