"""What is measured of a whole data version, and what of its new rows against the others: pure decisions over the signs of its rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from data_checks.signs import CONTACT, SENSITIVE, Signs
from headgate.data.label_names import misspelt
from headgate.monitoring.drift import Column, Shift, compare
from headgate.settings import Bound, DataChecks

Severity = Literal["critical", "warning"]
SHOWN = 5
STOPPING_SHARE = 0.2  # of the false alarms that are allowed, so many may stop
FEWEST = 3  # so few rows are told nowhere as a trend
ROWS_TO_GATE, ROWS_A_LABEL_TO_GATE = 300, 8
LABELS_FEWEST = 4  # new rows of a label, below which its share of suspects says nothing
BOUNDS = {"labels_alike": Bound(warning=0, critical=0), "labels_new": Bound(warning=0)}  # nothing to choose here


@dataclass(frozen=True, slots=True)
class Measure:
    """A number held against a bound; `expected` and `found` say both in words, `ids` are the rows that it is about."""

    name: str
    value: float
    bound: Bound
    expected: str
    found: str
    ids: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """Critical beyond the critical bound; a value within all bounds has the severity that it could have."""
        stops = self.bound.critical is not None and (self.value > self.bound.critical or self.value <= self.bound.warning)
        return "critical" if stops else "warning"


def measures(signs: Signs, settings: DataChecks) -> list[Measure]:
    """Every measure, in the order in which they are shown; those of new rows are left out where there is no version before."""
    whole = [*_labels(signs, settings), _suspected(signs, settings), *_copies(signs, settings), *_personal(signs, settings)]
    whole += [_repeats(signs, settings), _damaged(signs, settings)]
    return whole + ([*_of_new_rows(signs, settings)] if signs.previous_labels else [])


def _labels(signs: Signs, settings: DataChecks) -> Iterator[Measure]:
    now, before = sorted(set(signs.rows["label"])), set(signs.previous_labels)
    new = [label for label in now if label not in before] if before else []
    pairs = misspelt(new if before else now, before)
    told = [f"{label} beside {other}" for label, other in pairs]
    yield Measure("labels_alike", len(pairs), BOUNDS["labels_alike"], "no label that is another one misspelt", some(told) or "none")
    if not before:
        return
    yield Measure("labels_new", len(new), BOUNDS["labels_new"], "no label that the previous version does not have", some(new) or "none")
    shift = compare({"label": signs.previous_labels}, {"label": signs.rows["label"].tolist()})[0]
    yield _drift("label_drift_overall", shift, shift.effect, settings.label_drift_overall, settings, "labels as in the previous version")


def _suspected(signs: Signs, settings: DataChecks) -> Measure:
    """Gated where the rows are enough for a linear model to know the labels at all; listed in any case."""
    worst, judged = tuple(suspect.id for suspect in signs.judged.suspects), len(signs.judged.ids)
    found = f"{_rows(len(worst), judged)} that could be judged{_ids(worst)}"
    if few := judged < max(ROWS_TO_GATE, ROWS_A_LABEL_TO_GATE * signs.rows["label"].nunique()):
        found += "; too few rows to stop for it"
    share, bound = 0.0 if few else len(worst) / judged, settings.label_errors
    return Measure("label_errors", share, bound, _at_most(bound, "suspected labels"), found, worst)


def _copies(signs: Signs, settings: DataChecks) -> Iterator[Measure]:
    """Near copies of regression rows, and of training rows among the validation rows."""
    bound, copied, of = settings.regression_copies, signs.regression_copied, signs.regression_rows
    ids = tuple(signs.rows.loc[signs.rows["copies_regression"], "id"])
    found = f"{_rows(copied, of)}, by {len(ids)} row(s) here"
    yield Measure("regression_copies", copied / max(1, of), bound, _at_most(bound, "regression rows with a near copy"), found, ids)
    held = signs.rows[signs.rows["split"] == "valid"]
    trained = set(signs.rows.loc[signs.rows["split"] != "valid", "near_group"])
    ids = tuple(held.loc[held["near_group"].isin(trained), "id"])
    found = f"{_rows(len(ids), len(held))}; training keeps near copies on one side"
    bound = settings.split_copies
    yield Measure("split_copies", len(ids) / max(1, len(held)), bound, _at_most(bound, "validation rows with a near copy"), found, ids)


def _personal(signs: Signs, settings: DataChecks) -> Iterator[Measure]:
    """Personal data is told by kind and number of rows, never by what it is."""
    sensitive = signs.rows[list(SENSITIVE)]
    ids = tuple(signs.rows.loc[sensitive.any(axis=1), "id"])
    bound = settings.sensitive_data
    expected = f"at most {bound.warning:g} row(s) with a card, an account or a national id"
    yield Measure("sensitive_data", len(ids), bound, expected, _kinds(sensitive) + _ids(ids), ids)


def _repeats(signs: Signs, settings: DataChecks) -> Measure:
    """Of the largest group of near copies among the new rows."""
    counts = signs.new["near_group"].value_counts()
    most = int(counts.iloc[0]) if len(counts) else 0
    ids = tuple(signs.new.loc[signs.new["near_group"] == counts.index[0], "id"]) if most > 1 else ()
    share = most / len(signs.new) if most > FEWEST else 0.0
    found = f"{_rows(most, len(signs.new))}{_ids(ids)}"
    return Measure("repeats_new", share, settings.repeats_new, _at_most(settings.repeats_new, "new rows nearly the same"), found, ids)


def _damaged(signs: Signs, settings: DataChecks) -> Measure:
    ids = tuple(signs.rows.loc[signs.rows["damaged"], "id"])
    bound, found = settings.encoding_damage, f"{_rows(len(ids), len(signs.rows))}{_ids(ids)}"
    return Measure("encoding_damage", len(ids) / max(1, len(signs.rows)), bound, _at_most(bound, "rows with broken characters"), found, ids)


def _of_new_rows(signs: Signs, settings: DataChecks) -> Iterator[Measure]:
    """New rows against the others: one comparison over all columns, so that the many looks do not add up to false alarms."""
    shifts = {shift.column: shift for shift in compare(_columns(signs.others), _columns(signs.new))}
    drifts = (("label", "effect"), ("language", "psi"), ("characters", "psi"))
    for (column, size), name in zip(drifts, ("label_drift", "language_drift", "length_drift"), strict=True):
        bound = getattr(settings, name)
        yield _drift(name, shifts[column], getattr(shifts[column], size), bound, settings, f"{name.split('_')[0]}s as in the other rows")
    rises = {
        "label_errors_new": ("suspected", "suspected labels"),
        "regression_copies_new": ("copies_regression", "near copies of regression rows"),
        "contact_data": ("contact", "rows with an e-mail, phone or IP address"),
        "encoding_damage_new": ("damaged", "rows with broken characters"),
    }
    for name, (column, what) in rises.items():
        flagged = signs.new[signs.new[column]] if column in signs.new else signs.new[signs.new[list(CONTACT)].any(axis=1)]
        yield _rise(name, shifts[column], getattr(settings, name), settings, what, tuple(flagged["id"]))
    yield _worst_label(signs, settings)
    yield _conflicts(signs, settings)


def _columns(rows: pd.DataFrame) -> dict[str, Column]:
    """What new rows are compared by; suspicion among the rows that were judged, language where it can be told."""
    return {
        "label": rows["label"].to_numpy(dtype=str),
        "language": rows["language"].dropna().to_numpy(dtype=str),
        "characters": rows["characters"].to_numpy(),
        "suspected": rows.loc[rows["judged"], "suspected"].to_numpy(dtype=bool),
        "copies_regression": rows["copies_regression"].to_numpy(dtype=bool),
        "contact": rows[list(CONTACT)].any(axis=1).to_numpy(dtype=bool),
        "damaged": rows["damaged"].to_numpy(dtype=bool),
    }


def _drift(name: str, shift: Shift, size: float, bound: Bound, settings: DataChecks, expected: str) -> Measure:
    """A size counts where chance does not explain it."""
    moved = f"{shift.grown}: {shift.before:.1%} to {shift.now:.1%}" if shift.grown else f"median {shift.before:g} to {shift.now:g}"
    found = f"{size:.2f} (p {shift.p:.2g}) on {shift.current_rows} row(s), {moved}"
    counted = _counted(size, shift, bound, settings)
    return Measure(name, round(counted, 4), bound, f"{expected}, a difference of at most {bound.warning:g}", found)


def _rise(name: str, shift: Shift, bound: Bound, settings: DataChecks, what: str, ids: tuple[str, ...]) -> Measure:
    """By how much a share is higher among the new rows, where chance does not explain it."""
    before, now = _share(shift)
    counted = _counted(now - before, shift, bound, settings) if len(ids) >= FEWEST else 0.0
    found = f"{now:.1%} of {shift.current_rows} new row(s), {before:.1%} of the others{_ids(ids)}"
    expected = f"the share of {what} at most {bound.warning:.0%} higher in the new rows"
    return Measure(name, round(max(0.0, counted), 4), bound, expected, found, ids)


def _counted(size: float, shift: Shift, bound: Bound, settings: DataChecks) -> float:
    """A size as far as chance does not explain it: whole, at most a warning, or nothing."""
    if shift.p > settings.false_alarm_share:
        return 0.0
    surely = shift.p <= settings.false_alarm_share * STOPPING_SHARE
    return size if surely or bound.critical is None else min(size, bound.critical)


def _share(shift: Shift) -> tuple[float, float]:
    """The shares of True before and now."""
    if shift.grown == "True" or shift.grown is None:
        return shift.before, shift.now
    return 1 - shift.before, 1 - shift.now


def _worst_label(signs: Signs, settings: DataChecks) -> Measure:
    """The label whose new rows are suspected most, against its other rows."""
    new, others = (rows[rows["judged"]] for rows in (signs.new, signs.others))
    asked = [label for label, count in new["label"].value_counts().items() if count >= LABELS_FEWEST]
    by_label = [
        {str(label): rows.loc[rows["label"] == label, "suspected"].to_numpy(dtype=bool) for label in asked} for rows in (others, new)
    ]
    rises = [
        (now - before, shift) for shift in compare(*by_label) for before, now in [_share(shift)] if shift.p <= settings.false_alarm_share
    ]
    bound = settings.label_errors_by_label
    expected = f"no label's share of suspected labels more than {bound.warning:.0%} higher in the new rows"
    if not rises:
        return Measure("label_errors_by_label", 0.0, bound, expected, "none that chance does not explain")
    rise, shift = max(rises, key=lambda found: found[0])
    ids = tuple(new.loc[new["suspected"] & (new["label"] == shift.column), "id"])
    before, now = _share(shift)
    found = f"{shift.column}: {now:.1%} of {shift.current_rows} new row(s), {before:.1%} of the others{_ids(ids)}"
    return Measure("label_errors_by_label", round(max(0.0, rise), 4), bound, expected, found, ids)


def _suspicion(rows: pd.DataFrame, labels: Iterable[str]) -> dict[str, Column]:
    return {str(label): rows.loc[rows["label"] == label, "suspected"].to_numpy(dtype=bool) for label in labels}


def _conflicts(signs: Signs, settings: DataChecks) -> Measure:
    ids, bound = tuple(signs.new.loc[signs.new["conflicting"], "id"]), settings.conflicts_new
    share = len(ids) / len(signs.new) if len(ids) >= FEWEST else 0.0
    found = f"{_rows(len(ids), len(signs.new))}{_ids(ids)}"
    return Measure("conflicts_new", share, bound, _at_most(bound, "new rows whose text has several labels"), found, ids)


def _kinds(flags: pd.DataFrame) -> str:
    counts = {kind: int(count) for kind, count in flags.sum().items() if count}
    return ", ".join(f"{str(kind).replace('_', ' ')}: {count} row(s)" for kind, count in counts.items()) or "none"


def _rows(count: int, of: int) -> str:
    return f"{count} of {of} ({count / max(1, of):.1%})"


def _at_most(bound: Bound, what: str) -> str:
    return f"at most {bound.warning:.0%} {what}"


def _ids(ids: Iterable[str]) -> str:
    shown = some(list(ids))
    return f": id {shown}" if shown else ""


def some(names: list[str]) -> str:
    """The first few different names, and how many more there are."""
    different = list(dict.fromkeys(names))
    more = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    return f"{', '.join(different[:SHOWN])}{more}"
