"""scikit-learn's own checks and tools take the classifier as one of theirs."""

import copy
import os
import pickle
import sys
import termios
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import check_is_fitted

from headgate.errors import Refused
from headgate.model.classifier import TransformerClassifier
from headgate.model.training import Epoch

TEXTS = ["yes please", "yes, call me", "yes yes", "yes thursday", "stop", "stop it please", "no, stop", "stop, remove me"]
LABELS = ["yes", "yes", "yes", "yes", "stop", "stop", "stop", "stop"]

NO_WIDTH = "a text has no number of features"
CANNOT_APPLY = {
    "check_n_features_in_after_fitting": NO_WIDTH,
    "check_n_features_in": NO_WIDTH,
    "check_fit2d_predict1d": "one dimension is what texts come in; numbers in it are refused as no texts",
    "check_complex_data": "all numbers are refused as texts, complex ones in the same words",
    "check_dtype_object": "expects objects that can be numbers to be taken for features",
    "check_estimators_empty_data_messages": "a row without features is an empty text here, which is a text",
    "check_estimators_pickle": "a fitted classifier refuses pickle: see the tests of that below",
    "check_class_weight_classifiers": "weights by hand are given by row, as sample_weight; class_weight only says whether to balance",
    "check_sample_weight_equivalence_on_dense_data": (
        "a row of weight 2 is one row of a shuffled batch, a row given twice is two; zero weights are left out exactly: see below"
    ),
    "check_methods_subset_invariance": "float32 sums depend on the batch's shape: equal to 1e-5 below, not to the 1e-7 of the check",
}
WITHOUT_DATA = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
)


def spelled(X: Any) -> Any:
    """A table of numbers as texts, one letter for each threshold that a number is above; anything else as it is."""
    table = X if hasattr(X, "toarray") else np.asarray(X)
    if hasattr(X, "toarray") or table.ndim != 2 or table.dtype.kind not in "iuf":
        return X
    return [_text(row) if np.isfinite(row).all() else float(sum(row)) for row in table.tolist()]


def _text(row: list[float]) -> str:
    return " ".join(
        chr(97 + 6 * (column % 4) + step) for column, value in enumerate(row) for step in range(6) if value > (step - 2.5) * 0.6
    )


class OnNumbers(TransformerClassifier):
    """The classifier under checks that bring numbers: it reads them spelled, and is otherwise itself."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        return super().fit(spelled(X), y, sample_weight)

    def _logits(self, X: Any) -> Any:
        check_is_fitted(self, "network_")
        return super()._logits(spelled(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, False, True
        return tags


class OnAnyWidth(OnNumbers):
    """For the one check that is all about labels, but also expects a changed number of features to be refused."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        return tags


def name_of(check: Any) -> str:
    return check.__name__ if hasattr(check, "__name__") else name_of(check.func)


def scikit_learns() -> Iterator[Any]:
    """Every check that scikit-learn has for a classifier, those that cannot apply expected to fail."""
    for _, check in estimator_checks.estimator_checks_generator(OnNumbers()):
        reason = CANNOT_APPLY.get(name_of(check))
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        yield pytest.param(check, id=name_of(check), marks=marks)


# The training alone, without what the recipe would choose by cross-validation.
PLAIN: dict[str, Any] = {"method": "fine-tune", "label_names": "off", "lexical": "off", "validation_share": 0.0}


def made(encoder: Path, **parameters: Any) -> TransformerClassifier:
    return TransformerClassifier(
        **{**PLAIN, "base_model": str(encoder), "epochs": 6, "batch_size": 4, "learning_rate": 2e-3, "max_length": 32, **parameters}
    )


@pytest.fixture(scope="module")
def fitted(tiny_encoder: Path) -> TransformerClassifier:
    return made(tiny_encoder).fit(TEXTS, LABELS)


@pytest.mark.parametrize("check", list(scikit_learns()))
def test_scikit_learns_own_checks_pass_on_numbers_spelled_as_texts(check: Callable[[Any], None], tiny_encoder: Path) -> None:
    kind = OnAnyWidth if name_of(check) == "check_classifiers_train" else OnNumbers
    check(kind(**PLAIN, base_model=str(tiny_encoder), epochs=2, batch_size=32, learning_rate=3e-3, max_length=64))


def test_the_list_of_checks_that_cannot_apply_names_only_checks_that_exist() -> None:
    known = {name_of(check) for _, check in estimator_checks.estimator_checks_generator(OnNumbers())}
    assert set(CANNOT_APPLY) <= known
    assert set(WITHOUT_DATA) <= known


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_the_checks_without_data_pass_on_the_classifier_itself(name: str) -> None:
    getattr(estimator_checks, name)("TransformerClassifier", TransformerClassifier())


def test_its_tags_say_texts_in_and_one_label_out() -> None:
    tags = get_tags(TransformerClassifier())
    assert (tags.estimator_type, tags.requires_fit, tags.non_deterministic) == ("classifier", True, False)
    assert (tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array) == (True, True, False)
    assert (tags.input_tags.sparse, tags.input_tags.allow_nan) == (False, False)
    assert (tags.classifier_tags.multi_class, tags.classifier_tags.multi_label) == (True, False)
    assert (tags.target_tags.required, tags.target_tags.multi_output) == (True, False)


def test_only_what_differs_from_the_defaults_is_shown() -> None:
    assert repr(TransformerClassifier("some/model", epochs=2)) == "TransformerClassifier(base_model='some/model', epochs=2)"


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "out_of_scope_score"])
def test_asked_before_fit_it_says_so(method: str) -> None:
    with pytest.raises(NotFittedError, match="This TransformerClassifier instance is not fitted yet"):
        getattr(TransformerClassifier(), method)(["yes"])


def test_fit_returns_the_classifier_and_leaves_its_parameters_alone(tiny_encoder: Path) -> None:
    classifier = made(tiny_encoder, epochs=np.int64(1), learning_rate=np.float64(1e-3))
    before = classifier.get_params()
    assert classifier.fit(TEXTS, LABELS) is classifier
    assert classifier.get_params() == before
    state = dict(vars(classifier))
    classifier.predict_proba(TEXTS)
    assert vars(classifier) == state


def test_parameters_that_came_as_numpys_numbers_are_saved_as_plain_ones(tiny_encoder: Path, tmp_path: Path) -> None:
    made(tiny_encoder, epochs=np.int64(1), learning_rate=np.float64(1e-3)).fit(TEXTS, LABELS).save(tmp_path)
    assert TransformerClassifier.load(tmp_path).get_params() == made(tiny_encoder, epochs=1, learning_rate=1e-3).get_params()


def test_decisions_and_probabilities_agree(tiny_encoder: Path, fitted: TransformerClassifier) -> None:
    two = fitted.decision_function(TEXTS)
    np.testing.assert_allclose(1 / (1 + np.exp(-two)), fitted.predict_proba(TEXTS)[:, 1])
    three = made(tiny_encoder, epochs=1).fit(TEXTS, [*LABELS[:6], "no", "no"])
    assert three.decision_function(TEXTS).shape == (8, 3)
    assert three.classes_[three.decision_function(TEXTS).argmax(axis=1)].tolist() == three.predict(TEXTS).tolist()


def test_a_text_is_scored_alike_alone_and_among_others(fitted: TransformerClassifier) -> None:
    alone = np.vstack([fitted.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, fitted.predict_proba(TEXTS), atol=1e-5)


def test_the_out_of_scope_score_is_one_finite_number_a_text(fitted: TransformerClassifier) -> None:
    found = fitted.out_of_scope_score([*TEXTS, ""])
    assert found.shape == (9,)
    assert np.isfinite(found).all()


def test_it_is_the_last_step_of_a_pipeline(tiny_encoder: Path) -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = Pipeline([("lower", lower), ("classifier", made(tiny_encoder))])
    pipeline.set_params(classifier__seed=3, classifier__epochs=12).fit(
        [text.upper() for text in TEXTS], LABELS, classifier__sample_weight=np.ones(8)
    )
    assert pipeline.predict(TEXTS).tolist() == LABELS
    assert pipeline["classifier"].seed == 3


def test_it_is_cross_validated(tiny_encoder: Path) -> None:
    scores = cross_val_score(made(tiny_encoder), pd.Series(TEXTS), pd.Series(LABELS), cv=StratifiedKFold(2), error_score="raise")
    assert scores.shape == (2,)
    assert scores.min() >= 0.5


@pytest.mark.slow
def test_a_grid_is_searched_in_two_processes(tiny_encoder: Path) -> None:
    search = GridSearchCV(make_pipeline(made(tiny_encoder)), {"transformerclassifier__epochs": [1, 6]}, cv=2, n_jobs=2, error_score="raise")
    try:
        search.fit(np.array(TEXTS, dtype=object), LABELS)
    finally:
        get_reusable_executor().shutdown()
    assert search.cv_results_["mean_test_score"].shape == (2,)
    assert search.best_params_["transformerclassifier__epochs"] in (1, 6)
    assert search.predict(["stop", "yes"]).tolist() == ["stop", "yes"]


@pytest.mark.parametrize(
    "dump", [pickle.dumps, lambda it: joblib.dump(it, BytesIO()), cloudpickle.dumps], ids=["pickle", "joblib", "cloudpickle"]
)
def test_a_fitted_classifier_refuses_pickle_and_says_what_to_do(dump: Callable[[Any], Any], fitted: TransformerClassifier) -> None:
    for holder in (fitted, make_pipeline(fitted)):
        with pytest.raises(Refused) as fault:
            dump(holder)
        assert str(fault.value) == (
            "a fitted TransformerClassifier is not pickled, since whoever reads a pickle runs the code in it: "
            "keep it with classifier.save(folder) and read it with TransformerClassifier.load(folder); "
            "for work in parallel processes pass sklearn.base.clone of it, which is unfitted"
        )


def test_an_unfitted_classifier_is_pickled(fitted: TransformerClassifier) -> None:
    copied = pickle.loads(pickle.dumps(clone(fitted)))
    assert copied.get_params() == fitted.get_params()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_fitted_classifier_is_copied_in_memory(
    duplicate: Callable[[TransformerClassifier], TransformerClassifier], fitted: TransformerClassifier
) -> None:
    expected = fitted.predict_proba(TEXTS)
    copied = duplicate(fitted)
    assert np.array_equal(copied.predict_proba(TEXTS), expected)
    copied.fit(TEXTS[::-1], LABELS)
    assert np.array_equal(fitted.predict_proba(TEXTS), expected)


def test_a_frames_column_name_is_kept_and_another_one_is_refused(tiny_encoder: Path) -> None:
    classifier = made(tiny_encoder, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.fit(pd.DataFrame({"text": TEXTS}), LABELS)
        assert classifier.predict(pd.DataFrame({"text": TEXTS})).shape == (8,)
    assert classifier.feature_names_in_.tolist() == ["text"]
    with pytest.raises(
        ValueError, match="Feature names unseen at fit time:\n- subject\nFeature names seen at fit time, yet now missing:\n- text"
    ):
        classifier.predict(pd.DataFrame({"subject": TEXTS}))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        classifier.predict(TEXTS)
    assert not hasattr(classifier.fit(TEXTS, LABELS), "feature_names_in_")


def test_weights_that_are_all_alike_are_no_weights(tiny_encoder: Path, fitted: TransformerClassifier) -> None:
    for weights in (np.ones(8), [0.3] * 8, pd.Series([2] * 8)):
        weighted = made(tiny_encoder).fit(TEXTS, LABELS, sample_weight=weights)
        assert np.array_equal(weighted.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_a_row_of_weight_zero_is_as_if_it_were_not_there(tiny_encoder: Path, fitted: TransformerClassifier) -> None:
    more, weights = [TEXTS[0], "me", *TEXTS[1:], "list"], [1, 0, 1, 1, 1, 1, 1, 1, 1, 0]
    weighted = made(tiny_encoder).fit(more, [LABELS[0], "stop", *LABELS[1:], "gone"], sample_weight=weights)
    assert weighted.classes_.tolist() == ["stop", "yes"]
    assert np.array_equal(weighted.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_the_heavier_of_two_labels_of_one_text_wins_whatever_the_weights_unit(tiny_encoder: Path) -> None:
    texts, labels, weights = ["call me", "call me"] * 4, ["yes", "stop"] * 4, np.array([1.0, 9.0] * 4)
    heavy = made(tiny_encoder).fit(texts, labels, sample_weight=weights)
    other = made(tiny_encoder).fit(texts, labels, sample_weight=1000 * weights)
    assert heavy.predict(["call me"]).tolist() == ["stop"]
    np.testing.assert_allclose(heavy.predict_proba(texts), other.predict_proba(texts), atol=0.02)


def test_a_terminal_shows_a_bar_and_anything_else_is_quiet(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made(tiny_encoder, epochs=2).fit(TEXTS, LABELS)
    assert capfd.readouterr() == ("", "")
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (24, 100))
    os.set_blocking(leader, False)
    with os.fdopen(follower, "w") as terminal, os.fdopen(leader, "rb", buffering=0) as watched:
        monkeypatch.setattr(sys, "stderr", terminal)
        made(tiny_encoder, epochs=2).fit(TEXTS, LABELS)
        shown = b"".join(iter(watched.read, None)).decode()
        told: list[Epoch] = []
        made(tiny_encoder, epochs=2).fit(TEXTS, LABELS, progress=told.append)
        assert watched.read() is None
    assert "training: 100%" in shown
    assert "2/2" in shown
    assert [epoch.number for epoch in told] == [1, 2]


def test_a_loaded_classifier_knows_the_column_it_was_fitted_on(tiny_encoder: Path, tmp_path: Path) -> None:
    made(tiny_encoder).fit(pd.DataFrame({"text": TEXTS}), LABELS).save(tmp_path)
    loaded = TransformerClassifier.load(tmp_path)
    assert loaded.feature_names_in_.tolist() == ["text"]
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(pd.DataFrame({"body": TEXTS}))
