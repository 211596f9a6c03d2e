"""A calibration in words: Markdown tables, and when the human check could be lifted. Pure."""

from collections.abc import Iterator, Sequence
from math import ceil, log

from headgate.evaluation.calibration_report import Calibration, Margins, Planted, Rate, RowsNeeded
from headgate.release.decisions import Agreement

ALL_GATES = "all gates"
_WORDS = {
    "accuracy_against_champion": "accuracy",
    "macro_f1_against_champion": "macro-F1",
    "label_recall_against_champion": "label recall",
    "beats_linear_floor": "linear floor",
}


def columns_of(rows: Sequence[Planted]) -> list[str]:
    """All gates together, then the gates that ever stopped anything or compare with the champion, then the naive ones."""
    shown = [gate for gate in rows[0].gates if gate in _WORDS or any(row.gates[gate].stopped for row in rows)]
    return [ALL_GATES, *shown, *rows[0].naive]


def rates_by_column(row: Planted) -> dict[str, Rate]:
    """The rates of one planted regression under the names of `columns_of`."""
    return {ALL_GATES: row.overall, **row.gates, **row.naive}


def gate_in_words(name: str) -> str:
    """A gate's name as a column head: 'accuracy', 'error rate', 'latency p95 ratio'."""
    return _WORDS.get(name, name.replace("_against_champion", " ratio").replace("_", " "))


def markdown(found: Calibration, history: Agreement | None = None) -> str:
    """The whole report."""
    return "\n".join(_lines(found, history)) + "\n"


def _lines(found: Calibration, history: Agreement | None) -> Iterator[str]:
    yield f"# Gates of the model {found.model}, measured"
    yield ""
    yield (
        f"{found.rows} regression rows, {found.labels} labels, {found.seeds} trainings with different seeds: accuracy "
        f"{_span(found.accuracy)}; two of them answer {found.disagreement:.1%} of the rows differently."
    )
    yield ""
    yield from _margins(found)
    yield from _tables(found)
    yield from _sizes(found.rows_needed)
    if history is not None:
        yield "## When the human check could be lifted"
        yield ""
        yield lifting(history)


def _margins(found: Calibration) -> Iterator[str]:
    yield "## Margins"
    yield ""
    if found.recommended is None:
        yield (
            f"No margins up to 30 points stop equally good models in at most {found.wanted_false_stops:.0%} of the trials: "
            "freeze more regression rows, or allow more false stops."
        )
    else:
        yield f"For at most {found.wanted_false_stops:.0%} false stops:"
        yield ""
        yield "```toml"
        yield f"[models.{found.model}.gates]"
        for name in Margins.model_fields:
            now, then = getattr(found.present, name), getattr(found.recommended, name)
            yield f"{name} = {then:g}" + ("" if now == then else f"  # now {now:g}")
        yield "```"
    yield ""


def _tables(found: Calibration) -> Iterator[str]:
    for title, rows in (
        ("Stopped at the recommended margins, % of trials", found.at_recommended),
        ("Stopped at the present margins, % of trials", found.at_present),
        ("Load test: stopped at the present bounds, % of trials", found.load),
    ):
        if rows:
            yield f"## {title}"
            yield ""
            yield from rate_table(rows)
            yield ""
    if found.as_they_are:
        one = found.as_they_are
        yield f"Each ordered pair of seeds on the frozen rows as they are, at these margins: {one.stopped} of {one.trials} stopped."
        yield ""


def rate_table(rows: Sequence[Planted]) -> Iterator[str]:
    """One line a planted regression, one column a gate; the first column of numbers has its 95% interval."""
    columns = columns_of(rows)
    yield "| planted | " + " | ".join(gate_in_words(column) for column in columns) + " |"
    yield "|---|" + "---|" * len(columns)
    for row in rows:
        rates = rates_by_column(row)
        first, *others = (rates[column] for column in columns)
        cells = [
            f"**{100 * first.share:.1f}** ({100 * first.low:.1f} to {100 * first.high:.1f})",
            *(f"{100 * one.share:.1f}" for one in others),
        ]
        yield f"| {row.name} | " + " | ".join(cells) + " |"


def _sizes(sizes: Sequence[RowsNeeded]) -> Iterator[str]:
    if not sizes:
        return
    yield "## What more rows would show"
    yield ""
    yield "| rows | of a label | equally good models stopped, % | 20% of a label flipped, missed, % |"
    yield "|---|---|---|---|"
    for one in sizes:
        yield f"| {one.rows:,} | {one.rows_per_label:,} | {100 * one.false_stops.share:.1f} | {100 * (1 - one.flips_stopped.share):.1f} |"
    yield ""


def lifting(history: Agreement, wanted: float = 0.05) -> str:
    """What the decision history says about doing without the person: the disagreements that it leaves possible, with 95% certainty."""
    needed = ceil(log(0.05) / log(1 - wanted))
    decided = history.agreements + history.disagreements
    counted = f"People decided {decided} releases whose gates passed, and disagreed with {history.disagreements}"
    if not history.in_a_row:
        newest = "no decision yet" if not decided else "the newest is a disagreement"
        return f"{counted}; {newest}. {needed} agreements in a row would show, with 95% certainty, at most {wanted:.0%} disagreements."
    possible = 1 - 0.05 ** (1 / history.in_a_row)
    then = (
        "the history alone would allow it: `approval.auto_after`"
        if history.in_a_row >= needed
        else f"{needed - history.in_a_row} more in a row would show at most {wanted:.0%}"
    )
    return (
        f"{counted}. The newest {history.in_a_row} agree: with 95% certainty people disagree with at most {possible:.0%} of them; {then}."
    )


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.1%} to {max(values):.1%}"
