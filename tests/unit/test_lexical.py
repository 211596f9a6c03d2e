"""N-gram features: the same in training and serving, kept in a file without pickle, blind to nothing a tokenizer misses."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from headgate.model.lexical import READ_CHARACTERS, Lexical, count
from headgate.model.lexical_fit import fit_lexical, scaled

TEXTS = [
    "どれ くらい 暑い です か",
    "今日 は 暑い です",
    "暑い です ね",
    "アラーム を 止めて",
    "アラーム を 消して",
    "アラーム 止めて ください",
]
TARGETS = np.array([0, 0, 0, 1, 1, 1])


@pytest.fixture(scope="module")
def fitted() -> Lexical:
    return fit_lexical(TEXTS, TARGETS, 2, None)


def test_it_learns_a_script_that_no_tokenizer_was_asked_about(fitted: Lexical) -> None:
    assert fitted.logits(["とても 暑い です", "アラーム を 止めます"]).argmax(axis=1).tolist() == [0, 1]


def test_it_answers_alike_after_a_round_trip(fitted: Lexical, tmp_path: Path) -> None:
    save_file(asdict(fitted), tmp_path / "lexical.safetensors")
    read = Lexical.read(tmp_path / "lexical.safetensors")
    assert np.array_equal(read.logits(TEXTS), fitted.logits(TEXTS))


def test_unknown_and_empty_texts_get_the_bias_alone(fitted: Lexical) -> None:
    found = fitted.logits(["", "zzzz", "\ud800"])
    assert np.allclose(found, fitted.bias)


def test_a_label_without_rows_is_never_the_answer() -> None:
    three = fit_lexical(TEXTS, np.where(TARGETS == 1, 2, 0), 3, None)
    assert set(three.logits([*TEXTS, "something else"]).argmax(axis=1).tolist()) <= {0, 2}


def test_a_scale_multiplies_the_logits(fitted: Lexical) -> None:
    np.testing.assert_allclose(scaled(fitted, 4.0).logits(TEXTS), 4.0 * fitted.logits(TEXTS), rtol=1e-2)


def test_of_a_long_text_head_and_tail_are_read() -> None:
    long = "unsubscribe " + "x" * 200_000 + " budget"
    hashes = count(long)[0]
    assert np.isin(count("unsubscribe")[0], hashes).all()
    assert np.isin(count("budget")[0], hashes).all()
    assert len(hashes) < 5 * READ_CHARACTERS


def test_case_and_white_space_make_no_difference() -> None:
    assert np.array_equal(count("Too  EXPENSIVE\n")[0], count("too expensive")[0])
