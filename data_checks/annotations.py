"""The suite `annotations`: what a data version must be before anything is trained on it.

Great Expectations judges the rows and writes the Data Docs; they are kept as evidence and read from disk, with no network.
"""

import html
import os
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before the import: it reads this once

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd

from data_checks.measures import Measure, Severity, measures, some
from data_checks.offline_docs import make_offline
from data_checks.signs import CONTACT, SENSITIVE, Signs, signs_of
from headgate.data.personal_data import checked_regions
from headgate.data.rows import normalised
from headgate.evaluation.report import DataCheck
from headgate.record import Record, canonical
from headgate.settings import DataChecks

SUITE = "annotations"
SUSPECTS, FLAGGED = "suspected_labels.jsonl", "flagged_rows.jsonl"
# These checks are about labels: the column that tells what was found for each.
OF_LABELS = {"labels_known": "label_rows", "rows_per_label": "label_rows", "label_shares": "label_share_change"}


class DataCheckReport(Record):
    """Passed if no critical check failed; `docs` is the Data Docs' first page, relative to the folder they were written to."""

    passed: bool
    checks: tuple[DataCheck, ...]
    docs: str


@dataclass(frozen=True, slots=True)
class _Check:
    """An expectation, and in words what it expects."""

    name: str
    severity: Severity
    expected: str
    expectation: Callable[..., Any]
    arguments: dict[str, Any]
    found: str | None = None  # in words, where it is known before


def check_annotations(
    frame: pd.DataFrame,
    previous: pd.DataFrame | None,
    regression: pd.DataFrame | None,
    settings: DataChecks,
    labels: Collection[str],
    out: Path,
) -> DataCheckReport:
    """Judge a data version's rows against the version before, the regression set and the known labels (none given: those found).

    Beside the Data Docs' first page lie `suspected_labels.jsonl` and `flagged_rows.jsonl`: ids and labels, no text. BadSettings: a
    phone region that is none.
    """
    signs = signs_of(frame, previous, regression, checked_regions(settings.phone_regions))
    measured = measures(signs, settings)
    facts = _with_facts(frame, previous, regression).assign(**{one.name: one.value for one in measured})
    checks = [*_checks(facts, previous, settings, labels), *map(_measured, measured)]
    context = _context(out)
    results = _run(context, facts, checks)
    docs = Path(context.root_directory) / "uncommitted" / "data_docs" / "local_site"
    found = tuple(_found(check, results[check.name]) for check in checks)
    _write_lines(docs / SUSPECTS, (suspect.to_bytes() for suspect in signs.judged.suspects))
    _write_lines(docs / FLAGGED, _flagged(signs, measured))
    make_offline(docs, [(check.name, check.severity, "passed" if check.passed else "failed", check.detail) for check in found])
    passed = all(check.passed for check in found if check.severity == "critical")
    return DataCheckReport(passed=passed, checks=found, docs=(docs / "index.html").relative_to(out.absolute()).as_posix())


def _with_facts(frame: pd.DataFrame, previous: pd.DataFrame | None, regression: pd.DataFrame | None) -> pd.DataFrame:
    """One column for each fact that a check looks at; ids and labels escaped and no text, since Data Docs print values as raw HTML."""
    text = frame["text"].map(normalised)
    labels_of_text = frame["label"].groupby(text).transform("nunique")
    facts = pd.DataFrame({"id": frame["id"].map(html.escape), "label": frame["label"].map(html.escape)}).assign(
        characters=frame["text"].str.len(),
        visible_characters=text.str.len(),
        label_rows=frame["label"].map(frame["label"].value_counts()),
        labels_of_text=labels_of_text,
        in_regression_set=False,
        label_share_change=0.0,
    )
    if regression is not None:
        facts["in_regression_set"] = text.isin(set(regression["text"].map(normalised))) | frame["group_id"].isin(
            set(regression["group_id"])
        )
    if previous is not None:
        facts["label_share_change"] = frame["label"].map(_share_changes(frame, previous))
    return facts.reset_index(drop=True)


def _share_changes(frame: pd.DataFrame, previous: pd.DataFrame) -> pd.Series:
    """How far each label's share of the rows moved, rounded so that no float noise breaks a bound."""
    now, before = (rows["label"].value_counts(normalize=True) for rows in (frame, previous))
    return now.sub(before, fill_value=0.0).round(5)


def _checks(facts: pd.DataFrame, previous: pd.DataFrame | None, settings: DataChecks, labels: Collection[str]) -> list[_Check]:
    found = sorted(set(facts["label"]))
    known = sorted(map(html.escape, labels)) or found
    before = found if previous is None else sorted(set(previous["label"].map(html.escape)))
    change, rows, size = settings.max_share_change, settings.min_rows_per_label, settings.max_characters
    return [
        _check("ids_unique", "every id once", gxe.ExpectColumnValuesToBeUnique, column="id"),
        _check("text_present", "visible text in every row", gxe.ExpectColumnValuesToBeBetween, column="visible_characters", min_value=1),
        _check("text_length", f"at most {size} characters", gxe.ExpectColumnValuesToBeBetween, column="characters", max_value=size),
        _check("labels_known", f"labels among {', '.join(known)}", gxe.ExpectColumnValuesToBeInSet, column="label", value_set=known),
        _check("labels_several", "at least 2 labels", gxe.ExpectColumnUniqueValueCountToBeBetween, column="label", min_value=2),
        _check("rows_per_label", f"at least {rows} rows a label", gxe.ExpectColumnValuesToBeBetween, column="label_rows", min_value=rows),
        _check(
            "labels_vanished",
            "every label of the previous version",
            gxe.ExpectColumnDistinctValuesToContainSet,
            column="label",
            value_set=before,
        ),
        _check(
            "label_shares",
            f"no label's share of the rows moved by more than {change:g} since the previous version",
            gxe.ExpectColumnValuesToBeBetween,
            column="label_share_change",
            min_value=-change,
            max_value=change,
        ),
        _check(
            "regression_rows",
            "no text or group_id of the regression set",
            gxe.ExpectColumnValuesToBeInSet,
            column="in_regression_set",
            value_set=[False],
        ),
        _check("conflicts_rare", "99% of the rows free of conflicts", _one_label, column="labels_of_text", max_value=1, mostly=0.99),
        _check("conflicts", "one label for the same text", _one_label, "warning", column="labels_of_text", max_value=1),
    ]


_one_label = gxe.ExpectColumnValuesToBeBetween


def _check(name: str, expected: str, expectation: Callable[..., Any], severity: Severity = "critical", **arguments: Any) -> _Check:
    return _Check(name, severity, expected, expectation, arguments)


def _measured(measure: Measure) -> _Check:
    """The number is a column of its own, so that Great Expectations judges it and its Data Docs show it."""
    arguments = {"column": measure.name, "max_value": measure.bound.warning}
    return _Check(measure.name, measure.severity, measure.expected, gxe.ExpectColumnMaxToBeBetween, arguments, measure.found)


def _flagged(signs: Signs, measured: Iterable[Measure]) -> Iterable[bytes]:
    """For each measure the rows that it is about; of personal data the kinds."""
    kinds = signs.rows.set_index("id")[[*CONTACT, *SENSITIVE]]
    personal = {row_id: [str(kind) for kind, there in row.items() if there] for row_id, row in kinds[kinds.any(axis=1)].iterrows()}
    for measure in measured:
        for row_id in measure.ids:
            told = {"kinds": personal.get(row_id, [])} if measure.name in ("contact_data", "sensitive_data") else {}
            yield canonical({"check": measure.name, "id": row_id} | told)


def _write_lines(file: Path, lines: Iterable[bytes]) -> None:
    file.write_bytes(b"".join(line + b"\n" for line in lines))


def _context(out: Path) -> Any:
    """A fresh context in its own folder under out; what an earlier run left there is replaced."""
    folder = out.absolute() / "data_checks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    context = gx.get_context(mode="file", project_root_dir=folder)
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    return context


def _run(context: Any, facts: pd.DataFrame, checks: list[_Check]) -> dict[str, Any]:
    """The result of each expectation, by the check's name."""
    expectations = [
        c.expectation(**c.arguments, severity=c.severity, meta={"check": c.name, "notes": f"{c.name}: {c.expected}"}) for c in checks
    ]
    suite = context.suites.add(gx.ExpectationSuite(name=SUITE, expectations=expectations))
    batch = context.data_sources.add_pandas("lake").add_dataframe_asset(SUITE).add_batch_definition_whole_dataframe("data version")
    validation = context.validation_definitions.add(gx.ValidationDefinition(name=SUITE, data=batch, suite=suite))
    checkpoint = gx.Checkpoint(
        name=SUITE,
        validation_definitions=[validation],
        actions=[gx.checkpoint.UpdateDataDocsAction(name="data docs")],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["id", "label", "label_rows", "label_share_change"]},
    )
    outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": facts})
    results = [result for run in outcome.run_results.values() for result in run.results]
    return {result.expectation_config.meta["check"]: result for result in results}


def _found(check: _Check, result: Any) -> DataCheck:
    """A check that could not run has not passed."""
    passed, expected = bool(result.success), f"expected {check.expected}"
    if result.exception_info.get("raised_exception"):
        detail = f"{expected}; could not be checked: {result.exception_info.get('exception_message')}"
    elif check.found is not None:
        detail = f"{expected}; found {check.found}"
    else:
        detail = html.unescape(expected if passed else f"{expected}; found {_offenders(check.name, result.result)}")
    return DataCheck(name=check.name, severity=check.severity, passed=passed, detail=detail)


def _offenders(name: str, result: dict[str, Any]) -> str:
    """What was found instead: labels for a check of labels, otherwise the ids of the rows."""
    if missing := result.get("partial_missing_list"):
        return f"none of {', '.join(sorted(map(str, missing)))}"
    if "unexpected_index_list" not in result:
        return str(result.get("observed_value"))
    rows = result["unexpected_index_list"]
    if name in OF_LABELS:
        return some([f"{label}: {value}" for label, value in _pairs(rows, OF_LABELS[name])])
    return f"{result['unexpected_count']} of {result['element_count']} row(s): id {some([str(row['id']) for row in rows])}"


def _pairs(rows: list[dict[str, Any]], column: str) -> list[tuple[str, Any]]:
    return sorted({(str(row["label"]), row[column]) for row in rows})
