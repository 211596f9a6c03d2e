"""The pipeline as it is served gives the classifier's answers, whatever shares the batch."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.model.filters import FilterConfig
from headgate.model.pipeline import MailPipeline
from headgate.model.runtime import Message, Runtime, groups, truncate_ids

TEXTS = ["yes please", "no thanks, we have that already", "stop", "too expensive " * 60, "Könnten Sie mir ein Angebot schicken?", "?"]


@pytest.fixture(scope="module")
def runtime(bundle: Path) -> Runtime:
    return Runtime.load(bundle)


def test_probabilities_are_those_of_the_classifier(runtime: Runtime, tiny_classifier: Path) -> None:
    from headgate.model.classifier import TransformerClassifier

    expected = TransformerClassifier.load(tiny_classifier).predict_proba(TEXTS)
    assert runtime.labels == tuple(TransformerClassifier.load(tiny_classifier).classes_)
    np.testing.assert_allclose(runtime.probabilities(TEXTS), expected, atol=1e-4)


def test_an_answer_does_not_depend_on_its_batch(runtime: Runtime) -> None:
    together = runtime.probabilities(TEXTS * 5)
    alone = np.concatenate([runtime.probabilities([text]) for text in TEXTS * 5])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_answers_keep_the_order_of_the_messages(runtime: Runtime) -> None:
    messages = [Message("stop"), Message(""), Message("gone", {"Auto-Submitted": "auto-replied"}), Message("yes please")]
    answers = runtime.score(messages)
    assert [answer.reason for answer in answers[1:3]] == ["empty", "auto_reply"]
    assert [answer.outcome for answer in answers[1:3]] == ["skipped", "skipped"]
    assert answers[3] == runtime.score([messages[3]])[0]
    assert runtime.score([]) == []


def test_an_answer_names_its_best_label_and_all_scores(runtime: Runtime) -> None:
    answer = runtime.score([Message("yes please")])[0]
    assert set(answer.scores) == set(runtime.labels)
    assert sum(answer.scores.values()) == pytest.approx(1)
    assert answer.score == max(answer.scores.values()) == answer.scores[answer.label or ""]


def test_an_abstained_answer_keeps_its_label(tiny_classifier: Path, tmp_path: Path) -> None:
    from headgate.model.wrapping import wrap

    wrap(tiny_classifier, tmp_path / "b", FilterConfig(min_confidence=1.0), {})
    answer = Runtime.load(tmp_path / "b").score([Message("yes please")])[0]
    assert (answer.outcome, answer.reason) == ("abstained", "low_confidence")
    assert answer.label is not None


def test_a_quoted_thread_does_not_change_the_answer(runtime: Runtime) -> None:
    quoted = "Stop writing.\n\nOn Tue, 3 Mar 2026 at 10:12, Kim <kim@example.com> wrote:\n> yes yes yes please please"
    assert runtime.score([Message(quoted)]) == runtime.score([Message("Stop writing.")])


def test_long_texts_keep_head_and_tail() -> None:
    assert truncate_ids(range(10), 10) == list(range(10))
    assert truncate_ids(range(100), 8) == [0, 1, 2, 3, 96, 97, 98, 99]
    assert truncate_ids(range(100), 9) == [0, 1, 2, 3, 95, 96, 97, 98, 99]


@given(st.lists(st.integers(1, 512), max_size=200))
def test_groups_hold_every_row_once_and_waste_at_most_a_quarter(lengths: list[int]) -> None:
    found = list(groups(lengths))
    assert sorted(row for group in found for row in group) == list(range(len(lengths)))
    for group in found:
        assert len(group) <= 16
        assert min(lengths[row] for row in group) >= 0.75 * max(lengths[row] for row in group)


def test_the_pipeline_trains_and_asks_on_the_current_reply() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    rows = ["yes\n> no", "no\n> yes"] * 5
    pipeline = MailPipeline(make_pipeline(CountVectorizer(), MultinomialNB()), FilterConfig()).fit(rows, ["a", "b"] * 5)
    assert list(pipeline.predict(["yes", "no\n> yes yes yes"])) == ["a", "b"]
    assert list(pipeline.classes_) == ["a", "b"]
    assert pipeline.prepare(["yes\n> no"]) == ["yes"]
    assert MailPipeline(pipeline, FilterConfig(current_reply=False)).prepare(["yes\n> no"]) == ["yes\n> no"]
