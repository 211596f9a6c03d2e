"""Annotators who disagree about a text: who gave which label, and what the policy makes of it.

Pure, so that a repeated ingest decides the same. The same text is one that is equal but for case, Unicode form and white space.
An annotator has one vote, the latest; all who are not named count as one annotator. A change of mind is no conflict, and a correction
that is the latest vote settles one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from headgate.data.parsing import BadRow, GoodRow, JudgedFile
from headgate.data.rows import normalised
from headgate.record import Record

Policy = Literal["majority", "latest", "quarantine"]
Place = tuple[int, int]
SHOWN_ANNOTATORS = 5
LOWER = bytes(range(256)).lower()
WHITE_SPACE = b" \t\n\r\v\f\x1c\x1d\x1e\x1f"


class Conflict(Record):
    """One text about which annotators disagree: their votes by label, and what became of it. The text itself is not repeated."""

    id: str
    votes: dict[str, tuple[str, ...]]
    kept: str | None
    outcome: str

    def __str__(self) -> str:
        return f"id {self.id}: {_shown(self.votes)}; {self.outcome}"


@dataclass(frozen=True, slots=True)
class Vote:
    """What one row says about a text; `place` is its file and line, or None where the table holds it already."""

    id: str
    text: str
    label: str
    annotator: str
    source: str
    order: tuple[datetime, str, int]
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class _Decision:
    """What becomes of one text: rows that are refused with a reason, and rows that count as votes only."""

    conflict: Conflict
    refused: Mapping[Place, str]
    agreeing: frozenset[Place] = frozenset()


def settle(
    policy: Policy, files: Sequence[tuple[str, JudgedFile]], held: Iterable[Vote] = ()
) -> tuple[list[JudgedFile], tuple[Conflict, ...]]:
    """The files (each with when it arrived) without the rows that the policy refuses, which become bad, and every conflict."""
    held = list(held)
    shared = repeated([good.row.text for _, file in files for good in file.good], [vote.text for vote in held])
    arrivals = [
        _vote(number, arrived, good)
        for number, (arrived, file) in enumerate(files)
        for good in file.good
        if shared and rough(good.row.text) in shared
    ]
    decisions = [decision for votes in _by_text(arrivals, held) if (decision := _decide(policy, votes))]
    refused = {place: reason for decision in decisions for place, reason in decision.refused.items()}
    agreeing = {place for decision in decisions for place in decision.agreeing}
    settled = [_without(file, number, refused, agreeing) for number, (_, file) in enumerate(files)]
    return settled, tuple(decision.conflict for decision in decisions)


def disagree(policy: Policy, arrivals: Iterable[Vote], held: Iterable[Vote]) -> bool:
    """Whether `settle` would find any conflict."""
    return any(_decide(policy, votes) for votes in _by_text(arrivals, held))


def repeated(arrived: list[str], held: list[str]) -> set[bytes]:
    """The rough keys under which several texts stand: where a text stands alone nobody disagrees about it."""
    seen: set[bytes] = set()
    return {key for text in [*arrived, *held] if (key := rough(text)) in seen or seen.add(key)}  # type: ignore[func-returns-value]


def rough(text: str) -> bytes:
    """Equal for texts that are equal when `normalised`, and quicker: without any white space."""
    folded = text if text.isascii() else normalised(text)
    return folded.encode().translate(LOWER, WHITE_SPACE)


def _vote(number: int, arrived: str, good: GoodRow) -> Vote:
    row = good.row
    return Vote(row.id, row.text, row.label, row.annotator, row.source, (row.annotated_at, arrived, good.line), (number, good.line))


def _by_text(arrivals: Iterable[Vote], held: Iterable[Vote]) -> list[list[Vote]]:
    """The votes about each text that arrived, in the order of their arrival; only texts with several annotators and labels."""
    groups: dict[str, list[Vote]] = defaultdict(list)
    for vote in arrivals:
        groups[normalised(vote.text)].append(vote)
    for vote in held:
        if (key := normalised(vote.text)) in groups:
            groups[key].append(vote)
    return [votes for votes in groups.values() if len({v.label for v in votes}) > 1 and len({v.annotator for v in votes}) > 1]


def _decide(policy: Policy, votes: list[Vote]) -> _Decision | None:
    latest: dict[str, Vote] = {}
    for vote in sorted(votes, key=lambda vote: vote.order):
        latest[vote.annotator] = vote
    last = max(latest.values(), key=lambda vote: vote.order)
    if len({vote.label for vote in latest.values()}) < 2:
        return None
    if policy == "latest":
        return _by_latest(latest, last, votes)
    if last.source == "correction":
        return _kept(last.label, f"the correction to {last.label} is later than the other votes", latest, votes)
    return _refused(latest, votes) if policy == "quarantine" else _by_majority(latest, votes)


def _by_latest(latest: Mapping[str, Vote], last: Vote, votes: list[Vote]) -> _Decision:
    if len({vote.id for vote in votes}) > 1:
        return _Decision(_conflict(latest, None, "each row was kept under its own id"), {})
    return _Decision(_conflict(latest, last.label, f"kept {last.label}, the latest"), {})


def _by_majority(latest: Mapping[str, Vote], votes: list[Vote]) -> _Decision:
    counts = Counter(vote.label for vote in latest.values()).most_common()
    if counts[0][1] == counts[1][1]:
        return _refused(latest, votes, "no label has most votes")
    label, count = counts[0]
    return _kept(label, f"{label} has {count} of {len(latest)} votes", latest, votes)


def _kept(label: str, why: str, latest: Mapping[str, Vote], votes: list[Vote]) -> _Decision:
    """One label wins: of each id its latest row stays, unless the table holds the label already or a later annotation."""
    held = {vote.id: vote for vote in votes if vote.place is None}
    winning = [vote for vote in votes if vote.label == label and vote.place is not None]
    newest = {vote.id: vote for vote in sorted(winning, key=lambda vote: vote.order)}
    if any(name in held and held[name].label != label and held[name].order > vote.order for name, vote in newest.items()):
        return _refused(latest, votes, f"{why}, but the data set holds a later annotation")
    staying = {vote.place for name, vote in newest.items() if name not in held or held[name].label != label or _own(held[name], vote)}
    reason = f"annotators disagree on this text: {_shown(_votes(latest))}; {why}"
    refused = {vote.place: reason for vote in votes if vote.place is not None and vote.label != label}
    agreeing = frozenset(vote.place for vote in winning if vote.place is not None and vote.place not in staying)
    return _Decision(_conflict(latest, label, why), refused, agreeing)


def _own(held: Vote, vote: Vote) -> bool:
    return held.annotator == vote.annotator


def _refused(latest: Mapping[str, Vote], votes: list[Vote], why: str = "") -> _Decision:
    outcome = f"the rows went to quarantine: {why or 'that is the policy'}"
    reason = (
        f"annotators disagree on this text: {_shown(_votes(latest))}{f'; {why}' if why else ''}; decide with `headgate data quarantine fix`"
    )
    held = {_said(vote) for vote in votes if vote.place is None}
    refused = {vote.place: reason for vote in votes if vote.place is not None and _said(vote) not in held}
    return _Decision(_conflict(latest, None, outcome), refused)


def _said(vote: Vote) -> tuple[object, ...]:
    """What makes an arrival a mere repetition of a row that the table holds."""
    return vote.id, vote.text, vote.label, vote.annotator, vote.order[0]


def _conflict(latest: Mapping[str, Vote], kept: str | None, outcome: str) -> Conflict:
    first = min(latest.values(), key=lambda vote: vote.order)
    return Conflict(id=first.id, votes=_votes(latest), kept=kept, outcome=outcome)


def _votes(latest: Mapping[str, Vote]) -> dict[str, tuple[str, ...]]:
    labels = sorted({vote.label for vote in latest.values()})
    return {label: tuple(sorted(name for name, vote in latest.items() if vote.label == label)) for label in labels}


def _shown(votes: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{label} by {_names(names)}" for label, names in votes.items())


def _names(names: tuple[str, ...]) -> str:
    shown = [name or "somebody unnamed" for name in names[:SHOWN_ANNOTATORS]]
    return " and ".join([*shown, f"{len(names) - len(shown)} more"] if len(names) > len(shown) else shown)


def _without(file: JudgedFile, number: int, refused: Mapping[Place, str], agreeing: set[Place]) -> JudgedFile:
    good = tuple(row for row in file.good if (number, row.line) not in refused and (number, row.line) not in agreeing)
    if len(good) == len(file.good):
        return file
    bad = [BadRow(file.name, row.line, refused[number, row.line], row.raw) for row in file.good if (number, row.line) in refused]
    count = sum((number, row.line) in agreeing for row in file.good)
    notices = [f"{file.name}: {count} row(s) agree with a row that was kept, and count as votes"] if count else []
    return replace(file, good=good, bad=(*file.bad, *bad), notices=(*file.notices, *notices))
