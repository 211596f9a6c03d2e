"""Labels that are suspected to be wrong: confident learning on what the linear floor, cross-validated, thinks of each row.

Source: Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 2021, by its authors' library
cleanlab. Rows of one group (a thread, near copies) are always held out together, or a row would vouch for its own copy.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.svm import LinearSVC

from headgate.model.linear_floor import floor_features
from headgate.record import Record

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
FOLDS, MOST_JUDGED, TOLERANCE = 5, 10_000, 0.05
UNSEEN = -2.0  # decision for a label that a fold's training rows do not have: below every real one


class Suspect(Record):
    """A row whose label is suspected: the label that it looks like, and how much likelier that is than the given one (0 to 1)."""

    id: str
    label: str
    suggested_label: str
    margin: float


class Judged(Record):
    """Suspects, the worst first, and the ids of the rows that could be judged; of more than MOST_JUDGED rows a sample is."""

    suspects: tuple[Suspect, ...]
    ids: tuple[str, ...]


def suspected_labels(
    ids: Sequence[str],
    texts: Sequence[str],
    labels: Sequence[str],
    groups: Integers,
    first: Flags | None = None,
    seed: int = 0,
    most: int = MOST_JUDGED,
) -> Judged:
    """Judge the rows, at most `most` of them; those that `first` marks are taken before others. A label with one group is not judged."""
    given = np.asarray(labels, dtype=str)
    rows = _judged(given, groups, np.zeros(len(ids), bool) if first is None else first, seed, most).tolist()
    names, targets = np.unique(given[rows], return_inverse=True)
    if len(names) < 2:
        return Judged(suspects=(), ids=())
    found = likely_labels([texts[row] for row in rows], targets, groups[rows], seed)
    wrong = _issues(targets, found)
    best, every = found.argmax(axis=1), np.arange(len(rows))
    margins = found[every, best] - found[every, targets]
    order = sorted(np.flatnonzero(wrong & (best != targets)).tolist(), key=lambda row: (-margins[row], ids[rows[row]]))
    suspects = (
        Suspect(id=ids[rows[row]], label=names[targets[row]], suggested_label=names[best[row]], margin=round(float(margins[row]), 3))
        for row in order
    )
    return Judged(suspects=tuple(suspects), ids=tuple(ids[row] for row in rows))


def likely_labels(texts: Sequence[str], targets: Integers, groups: Integers, seed: int = 0) -> Floats:
    """Probability of each label, (rows, labels), by a linear floor that saw neither the row nor its group; calibrated by temperature."""
    features = floor_features().fit_transform(texts)  # knows no label, so all rows may share it
    folds = folds_of(targets, groups, seed)
    decisions = np.full((len(targets), int(targets.max()) + 1), UNSEEN)
    for fold in np.unique(folds):
        held = folds == fold
        model = LinearSVC(random_state=0, tol=TOLERANCE).fit(features[~held], targets[~held])
        found = model.decision_function(features[held])
        decisions[np.ix_(held, model.classes_)] = np.stack([-found, found], axis=1) if found.ndim == 1 else found
    probabilities: Floats = softmax(decisions * _sharpness(decisions, targets), axis=1)
    return probabilities


def folds_of(targets: Integers, groups: Integers, seed: int) -> Integers:
    """The fold, from 0, that holds each row out: groups whole, labels spread evenly."""
    first, group_of = np.unique(groups, return_index=True, return_inverse=True)[1:]
    shuffled = np.random.default_rng(seed).permutation(len(first))
    order = shuffled[np.argsort(targets[first][shuffled], kind="stable")]
    found = np.empty(len(first), dtype=np.int64)
    found[order] = np.arange(len(first)) % min(FOLDS, len(first))
    folds: Integers = found[group_of]
    return folds


def _judged(labels: NDArray[np.str_], groups: Integers, first: Flags, seed: int, most: int) -> Integers:
    """Numbers of the rows to judge, in order: no label that a single group has, since it is never learnt and held out at once."""
    pairs = np.unique(np.stack([np.unique(labels, return_inverse=True)[1], groups]), axis=1)[0]
    several = np.bincount(pairs) > 1
    able = np.flatnonzero(several[np.unique(labels, return_inverse=True)[1]])
    if len(able) <= most:
        return able
    shuffled = np.random.default_rng(seed).permutation(able)
    return np.sort(shuffled[np.argsort(~first[shuffled], kind="stable")][:most])


def _sharpness(decisions: Floats, targets: Integers) -> float:
    """What to multiply decisions by, so that their softmax is most likely (temperature scaling, Guo et al. 2017)."""
    rows = np.arange(len(targets))
    return float(
        minimize_scalar(lambda by: -log_softmax(decisions * by, axis=1)[rows, targets].mean(), bounds=(0.1, 30), method="bounded").x
    )


def _issues(targets: Integers, probabilities: Floats) -> Flags:
    """Rows that both of confident learning's ways to prune would take: by class and by noise rate."""
    from cleanlab.filter import find_label_issues

    found: Flags = find_label_issues(targets, probabilities, filter_by="both", n_jobs=1)
    return found
