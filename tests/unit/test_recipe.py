"""The recipe chooses by held-out rows, says what it chose, and keeps to what it was told."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from headgate.model import recipe, settling
from headgate.model.classifier import TransformerClassifier
from headgate.model.probes import Rows, balanced, fold_of, label_words
from headgate.model.settling import is_few, looked_at, settle
from headgate.model.training import Epoch
from headgate.settings import Train

TEXTS = [
    "yes please call me",
    "yes, thursday",
    "yes yes send it",
    "stop",
    "stop it please",
    "no, stop writing",
    "too expensive",
    "no budget",
] * 5
LABELS = ["yes", "yes", "yes", "stop", "stop", "stop", "price", "price"] * 5


def made(encoder: Path, **parameters: object) -> TransformerClassifier:
    return TransformerClassifier(base_model=str(encoder), max_length=32, learning_rate=2e-3, batch_size=8, **parameters)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def few(tiny_encoder: Path) -> TransformerClassifier:
    return made(tiny_encoder, epochs=2).fit(TEXTS, LABELS)


def test_few_rows_are_cross_validated_and_none_is_lost(few: TransformerClassifier) -> None:
    assert few.choice_["folds"] == 5
    assert few.validation_["rows"] == len(TEXTS)
    tried = [found["candidate"] for found in few.choice_["candidates"] if found["metric"].startswith("macro-F1, 5 folds")]
    assert tried == ["linear head alone", *(f"fine-tuned, {share}% of the way" for share in (30, 50, 70, 100))]


def test_the_choice_is_the_most_likely_candidate_and_is_told(few: TransformerClassifier) -> None:
    likely = {found["candidate"]: found["score"] for found in few.choice_["candidates"] if found["metric"].startswith("mean log")}
    best = max(likely, key=likely.__getitem__)
    assert few.choice_["why"] == f"40 rows of 3 labels are few; cross-validation found this most likely of 5: {best}"


def test_a_method_that_was_asked_for_is_taken(tiny_encoder: Path) -> None:
    linear = made(tiny_encoder, method="linear-head").fit(TEXTS, LABELS)
    assert (linear.choice_["method"], linear.choice_["fine_tuned_share"], linear.history_) == ("linear-head", 0.0, ())
    tuned = made(tiny_encoder, method="fine-tune", epochs=2).fit(TEXTS, LABELS)
    assert tuned.choice_["method"] == "fine-tune"
    assert len(tuned.history_) == 2


def test_a_linear_head_leaves_the_encoder_as_it_was_published(tiny_encoder: Path) -> None:
    from headgate.model.network import load_base_model

    published = load_base_model(str(tiny_encoder), "eager")[0].state_dict()
    found = made(tiny_encoder, method="linear-head").fit(TEXTS, LABELS).network_.encoder.state_dict()
    assert all(np.array_equal(found[name], published[name]) for name in published)


def test_many_rows_hold_some_out_and_fine_tune_on_the_rest(tiny_encoder: Path) -> None:
    many = made(tiny_encoder, epochs=1, validation_share=0.2).fit([f"{text} {n}" for n, text in enumerate(TEXTS * 8)], LABELS * 8)
    assert many.choice_["method"] == "fine-tune"
    assert many.choice_["folds"] is None
    assert many.validation_["rows"] == 64


def test_nothing_held_out_means_nothing_calibrated(tiny_encoder: Path) -> None:
    found = made(tiny_encoder, epochs=1, validation_share=0.0).fit(TEXTS, LABELS)
    assert (found.temperature_, found.validation_) == (1.0, None)
    assert found.choice_["why"] == ("no row may be held out to compare methods on (validation_share 0), though 40 rows of 3 labels are few")


def test_where_nothing_can_be_held_out_the_choice_says_so(tiny_encoder: Path) -> None:
    found = made(tiny_encoder).fit(["good", "bad"], ["b", "c"])
    assert found.choice_["why"] == "no label of these 2 rows has two texts, so that nothing could be compared or calibrated"
    assert (found.choice_["method"], found.choice_["folds"], found.choice_["candidates"]) == ("linear-head", None, ())
    assert found.validation_ is None


def test_progress_counts_the_epochs_of_all_trainings(tiny_encoder: Path) -> None:
    told: list[Epoch] = []
    made(tiny_encoder, epochs=2).fit(TEXTS, LABELS, progress=told.append)
    assert [(epoch.number, epoch.epochs) for epoch in told] == [(number, 12) for number in range(1, 13)]


def test_a_label_with_one_row_and_thirty_rows_are_enough(tiny_encoder: Path) -> None:
    texts, labels = [*TEXTS[:29], "what is this"], [*LABELS[:29], "question"]
    found = made(tiny_encoder, epochs=1).fit(texts, labels)
    assert found.classes_.tolist() == ["price", "question", "stop", "yes"]
    assert np.isfinite(found.predict_proba(texts)).all()


def test_folds_spread_each_label_and_never_hold_out_its_only_row() -> None:
    targets = np.array([0] * 10 + [1] * 5 + [2])
    folds = fold_of(targets, [f"text {number}" for number in range(16)], 5, seed=0)
    assert [np.bincount(folds[targets == label], minlength=5).tolist() for label in (0, 1)] == [[2] * 5, [1] * 5]
    assert folds[-1] == -1


def test_equal_texts_are_held_out_together() -> None:
    texts = ["Call me", "stop", "call  me ", "stop it", "no", "call me"]
    folds = fold_of(np.array([0, 1, 0, 1, 1, 0]), texts, 2, seed=0)
    assert folds[0] == folds[2] == folds[5] == -1  # all that is known of its label is this one text
    assert sorted(folds[[1, 3, 4]].tolist()) in ([0, 0, 1], [0, 1, 1])


def test_rows_of_a_group_are_held_out_together_whatever_their_labels() -> None:
    groups = np.repeat(np.arange(20), 3)
    targets = np.arange(60) % 3
    folds = fold_of(targets, [f"text {number}" for number in range(60)], 5, seed=1, groups=groups)
    assert all(len(set(folds[groups == group])) == 1 for group in range(20))
    assert np.bincount(folds).tolist() == [12] * 5


def test_a_group_with_all_rows_of_a_label_is_never_held_out() -> None:
    targets, groups = np.array([0, 1, 1] + [0] * 9), np.array([0, 0, 0, *range(1, 10)])
    folds = fold_of(targets, [f"text {number}" for number in range(12)], 5, seed=0, groups=groups)
    assert folds[:3].tolist() == [-1, -1, -1]
    assert set(folds[3:].tolist()) <= {0, 1, 2, 3, 4}


def test_the_classifier_never_judges_itself_on_a_group_that_it_was_trained_on(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray] = []

    def noted(targets: np.ndarray, texts: list[str], folds: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
        asked.append(groups)
        return fold_of(targets, texts, folds, seed, groups)

    monkeypatch.setattr("headgate.model.recipe.fold_of", noted)
    groups = [f"thread {number // 2}" for number in range(len(TEXTS))]
    weights = [0.0, *[1.0] * (len(TEXTS) - 1)]
    made(tiny_encoder, epochs=1).fit(TEXTS, LABELS, weights, groups=groups)
    assert len(asked[0]) == len(TEXTS) - 1  # the row of weight zero is left out
    assert asked[0][1] == asked[0][2] != asked[0][0]


def test_groups_of_another_length_are_refused(tiny_encoder: Path) -> None:
    with pytest.raises(ValueError, match=f"groups: expected one for each of the {len(TEXTS)} rows, found 1"):
        made(tiny_encoder).fit(TEXTS, LABELS, groups=["g"])


def test_balanced_weights_give_every_label_the_same_total() -> None:
    targets = np.array([0] * 9 + [1] * 3)
    weights = balanced(targets)
    assert weights[targets == 0].sum() == pytest.approx(weights[targets == 1].sum())
    assert weights.mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("card_arrival", "card arrival"),
        ("objection/budget", "objection budget"),
        ("AddToPlaylist", "Add To Playlist"),
        ("é€!", "é"),
        ("7", "7"),
    ],
)
def test_label_names_become_words(label: str, words: str) -> None:
    assert label_words(label) == words


@pytest.mark.parametrize(
    ("rows", "labels", "expected"), [(299, 2, True), (300, 2, False), (770, 77, True), (1540, 77, False), (2000, 250, False)]
)
def test_few_is_a_matter_of_rows_and_of_rows_a_label(rows: int, labels: int, expected: bool) -> None:
    assert is_few(rows, labels) is expected


def test_before_a_fine_tune_a_sample_is_embedded_that_knows_every_label() -> None:
    targets = np.array([0] * 7_000 + [1] * 2_990 + [2] * 7 + [3] * 3)
    found = looked_at(targets, 0)
    assert len(found) == len(set(found.tolist())) <= 2_000 + 4 * 10
    assert (np.bincount(targets[found])[2:] == [7, 3]).all()
    rows = features(targets.tolist(), embedded_only(targets, found), [f"a {number}" for number in range(10_000)])
    names = features(range(4), np.zeros((4, 4)), ["a", "b", "c", "d"])
    scores = [tried.score for tried in settle(Train(), rows, names, few=False).candidates]
    assert len(scores) == 3
    assert np.isfinite(scores).all()


def test_many_rows_are_not_all_embedded(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PROBED_ROWS", 40)
    seen: list[int] = []
    kept = recipe.batching.embeddings
    monkeypatch.setattr(recipe.batching, "embeddings", lambda network, ids, compute: seen.append(len(ids)) or kept(network, ids, compute))
    fitted = made(tiny_encoder, epochs=1, method="fine-tune", validation_share=0.0).fit(TEXTS * 8, LABELS * 8)
    assert 40 <= seen[0] <= 70
    assert set(fitted.predict(TEXTS)) <= set(LABELS)


def embedded_only(targets: np.ndarray, found: np.ndarray) -> np.ndarray:
    embeddings = np.full((len(targets), 4), np.nan)
    embeddings[found] = np.random.default_rng(0).normal(size=(len(found), 4))
    return embeddings


def features(targets: Sequence[int], embeddings: np.ndarray, texts: list[str]) -> Rows:
    return Rows(texts, [[1]] * len(targets), np.asarray(targets), np.ones(len(targets)), embeddings)


def test_lexical_features_are_fitted_where_words_tell_more_than_embeddings() -> None:
    generator = np.random.default_rng(0)
    targets = [number % 2 for number in range(400)]
    texts = [f"{'alarm clock' if target else 'rain cloud'} {number}" for number, target in enumerate(targets)]
    noise, telling = generator.normal(size=(400, 8)), generator.normal(size=(400, 8)) + 9 * np.array(targets)[:, None]
    names = features([0, 1], generator.normal(size=(2, 8)), ["rain", "alarm"])
    assert settle(Train(), features(targets, noise, texts), names, few=False).lexical
    assert not settle(Train(), features(targets, telling, [""] * 399 + ["x"]), names, few=False).lexical
    assert not settle(Train(lexical="off"), features(targets, noise, texts), names, few=False).lexical


def test_class_weights_are_asked_about_only_where_labels_are_uneven() -> None:
    generator = np.random.default_rng(0)
    targets = np.array([0] * 340 + [1] * 60)
    rows = features(targets.tolist(), generator.normal(size=(400, 4)) + 1.1 * targets[:, None], ["a b", "b c"] * 200)
    names = features([0, 1], generator.normal(size=(2, 4)), ["a", "b"])
    asked = settle(Train(lexical="off"), rows, names, few=False)
    assert "embeddings, labels weighing the same" in [found.candidate for found in asked.candidates]
    even = features([0, 1] * 200, rows.embeddings, rows.texts)
    assert "embeddings, labels weighing the same" not in [found.candidate for found in settle(Train(), even, names, few=False).candidates]
    assert settle(Train(class_weight="balanced"), rows, names, few=False).balanced
    assert not settle(Train(class_weight=None), rows, names, few=False).balanced


def test_epochs_follow_the_number_of_rows_unless_they_are_given() -> None:
    assert [recipe._epochs(Train(), rows) for rows in (400, 5_000, 100_000)] == [5, 4, 3]
    assert recipe._epochs(Train(epochs=9), 5_000) == 9
