"""The pipeline as it is served gives the classifier's answers, whatever shares the batch."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.model.classifier import TransformerClassifier
from headgate.model.filters import FilterConfig
from headgate.model.pipeline import MailPipeline
from headgate.model.runtime import Message, Runtime, energy, groups, truncate_ids
from headgate.model.wrapping import wrap

TEXTS = ["yes please", "no thanks, we have that already", "stop", "too expensive " * 60, "Könnten Sie mir ein Angebot schicken?", "?"]


@pytest.fixture(scope="module")
def runtime(bundle: Path) -> Runtime:
    return Runtime.load(bundle)


def test_probabilities_are_those_of_the_classifier(runtime: Runtime, tiny_classifier: Path) -> None:
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
        assert len(group) == 1 or len(group) * max(lengths[row] for row in group) <= 256
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


@pytest.fixture(scope="module")
def with_words(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved classifier of 300 rows that reads n-grams too, calibrated on 60 of them."""
    generator = np.random.default_rng(0)
    words = {"yes": ["yes", "please", "call", "thursday"], "stop": ["stop", "remove", "list", "no"]}
    rows = [(" ".join(generator.choice(words[label], 3)), label) for label in words for _ in range(150)]
    folder = tmp_path_factory.mktemp("with-words") / "classifier"
    classifier = TransformerClassifier(str(tiny_encoder), lexical="on", epochs=2, max_length=32, validation_share=0.2)
    classifier.fit([text for text, _ in rows], [label for _, label in rows]).save(folder)
    return folder


def test_n_grams_count_in_serving_as_they_do_in_the_classifier(with_words: Path, tmp_path: Path) -> None:
    wrap(with_words, tmp_path / "b", FilterConfig(), {})
    runtime, classifier = Runtime.load(tmp_path / "b"), TransformerClassifier.load(with_words)
    assert classifier.choice_["lexical_scale"] > 0
    texts = ["yes please", "stop it", "remove me", "thursday no", ""]
    np.testing.assert_allclose(runtime.probabilities(texts), classifier.predict_proba(texts), atol=1e-4)
    found = [energy(logits) for logits in runtime.logits(texts)]
    np.testing.assert_allclose(found, classifier.out_of_scope_score(texts), atol=1e-3)


def test_a_text_further_out_of_scope_than_the_share_allows_is_abstained_from(with_words: Path, tmp_path: Path) -> None:
    wrap(with_words, tmp_path / "b", FilterConfig(min_confidence=0.0, out_of_scope_share=0.02), {})
    runtime = Runtime.load(tmp_path / "b")
    known, strange = runtime.score([Message("yes please call"), Message("zzzz qqqq 0000")])
    assert (known.outcome, known.reason) == ("scored", None)
    assert (strange.outcome, strange.reason) == ("abstained", "out_of_scope")
    assert strange.label in runtime.labels
    scores = TransformerClassifier.load(with_words).validation_["out_of_scope_scores"]
    assert runtime.highest_energy == pytest.approx(np.quantile(scores, 0.98))


@pytest.mark.parametrize(("share", "reason"), [(0.0, "switched off"), (0.01, "60 held-out rows cannot tell one in a hundred")])
def test_no_text_is_out_of_scope_when_nothing_can_tell(with_words: Path, tmp_path: Path, share: float, reason: str) -> None:
    wrap(with_words, tmp_path / "b", FilterConfig(min_confidence=0.0, out_of_scope_share=share), {})
    assert Runtime.load(tmp_path / "b").score([Message("zzzz qqqq 0000")])[0].outcome == "scored", reason
