"""What a person decides about a refused row: fix it, or release it as it is, once the reason is gone.

The decision is one record, written put-if-absent, that holds the row as it will land. From then on the row is out of the quarantine, and
every ingest lands what is decided and not landed yet: killed between any two steps, nothing is lost and nothing lands twice.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal

from headgate.data.files import read_annotations
from headgate.data.landing import LandedFile, ingested_key, landed
from headgate.data.parsing import admitted
from headgate.data.quarantine import decided, decisions, with_ids
from headgate.data.rows import Annotation, parse_row
from headgate.errors import BadInput, NotFound, Refused
from headgate.lake import Lake
from headgate.record import Record


class Decision(Record):
    """Who decided what about one refused row, and when; `row` is what lands."""

    id: str
    action: Literal["fix", "release"]
    by: str
    at: datetime
    row: Annotation

    @property
    def line(self) -> bytes:
        """The row as a file of one JSON line; the same bytes at each try."""
        return (self.row.model_dump_json(exclude_none=True) + "\n").encode()

    def landing_key(self, dataset: str) -> str:
        """Where the row lands; the same at each try."""
        digest = hashlib.sha256(self.line).hexdigest()[:16]
        return f"landing/{dataset}/{self.at:%Y%m%dT%H%M%S.%f}-{digest}-{_landed_name(self.id)}"


def fix(
    lake: Lake, dataset: str, refused: str, changed: Mapping[str, str], by: str, at: datetime, labels: Collection[str] = ()
) -> Decision:
    """Land a refused row with another `label` or `text`; BadInput if it would be refused again, Refused if decided otherwise before."""
    if not changed:
        raise BadInput(f"row {refused}: expected --label or --text or both, found neither; say what is right")
    if (before := _before(lake, dataset, refused)) is None:
        raw = {**(_original(lake, dataset, refused) or {}), **changed, "source": "correction", "annotator": by, "annotated_at": at}
        return _decide(lake, dataset, Decision(id=refused, action="fix", by=by, at=at, row=_judged(refused, raw, labels, at)))
    if before.action != "fix" or any(getattr(before.row, name) != value for name, value in changed.items()):
        raise Refused(_decided_otherwise(before))
    return _decide(lake, dataset, before)


def release(lake: Lake, dataset: str, refused: str, by: str, at: datetime, labels: Collection[str] = ()) -> Decision:
    """Land a refused row again as it is, by today's rules; BadInput if they refuse it too, Refused if it was fixed before."""
    if (before := _before(lake, dataset, refused)) is None:
        raw = _original(lake, dataset, refused)
        if raw is None:
            raise BadInput(f"row {refused}: expected a row that can be read, found none; give both --label and --text to fix it")
        return _decide(lake, dataset, Decision(id=refused, action="release", by=by, at=at, row=_judged(refused, raw, labels, at)))
    if before.action != "release":
        raise Refused(_decided_otherwise(before))
    return _decide(lake, dataset, before)


def land_decided(lake: Lake, dataset: str) -> int:
    """Land every decided row that has not landed; says how many there were."""
    names = decided(lake, dataset)
    there = {LandedFile(key, "", b"", "").name for key in landed(lake, dataset)} if names else set()
    missing = sorted(name for name in names if _landed_name(name) not in there)
    for name in missing:
        decision = _read(lake, dataset, name)
        lake.put_if_absent(decision.landing_key(dataset), decision.line)
    return len(missing)


def _decide(lake: Lake, dataset: str, decision: Decision) -> Decision:
    """Write the decision, unless somebody was faster, and land its row."""
    if not lake.put_if_absent(f"{decisions(dataset)}/{decision.id}.json", decision.to_bytes()):
        there = _read(lake, dataset, decision.id)
        if (there.action, there.row.label, there.row.text) != (decision.action, decision.row.label, decision.row.text):
            raise Refused(_decided_otherwise(there))
        decision = there
    lake.put_if_absent(decision.landing_key(dataset), decision.line)
    return decision


def _before(lake: Lake, dataset: str, refused: str) -> Decision | None:
    """The decision that was made about the row; NotFound if there is no such row."""
    if refused in decided(lake, dataset):
        return _read(lake, dataset, refused)
    waiting = list(with_ids(lake, dataset)["id"])
    if refused not in waiting:
        found = f"{len(waiting)} rows: {', '.join(waiting[:5])}" if waiting else "no rows"
        raise NotFound(f"quarantine of {dataset}: expected a row {refused!r}, found {found}; see `headgate data quarantine list`")
    return None


def _read(lake: Lake, dataset: str, refused: str) -> Decision:
    return Decision.model_validate_json(lake.read(f"{decisions(dataset)}/{refused}.json"))


def _original(lake: Lake, dataset: str, refused: str) -> dict[str, Any] | None:
    """The refused row's own fields, from the file that it landed in; None if it could not be read as a row."""
    found = next(row for row in with_ids(lake, dataset).to_dict("records") if row["id"] == refused)
    sha256, line = found["sha256"], found["line"]
    if line == 0:
        raise BadInput(f"row {refused} stands for the whole file {found['file']}: repair the file and land it again")
    if (record := lake.get(ingested_key(dataset, sha256))) is None:
        raise BadInput(f"row {refused}: its file is not ingested to the end yet; run the ingest again, then decide")
    key = json.loads(record.data)["key"]
    for row in read_annotations(PurePosixPath(key).name, lake.read(key)):
        if row.line == line:
            return None if row.raw is None else dict(row.raw)
    return None


def _judged(refused: str, raw: Mapping[str, Any], labels: Collection[str], at: datetime) -> Annotation:
    try:
        return admitted(parse_row(raw), labels, at)
    except BadInput as fault:
        raise BadInput(f"row {refused} would be refused again: {fault}") from None


def _decided_otherwise(before: Decision) -> str:
    return (
        f"row {before.id} left the quarantine already: {before.by} decided {before.action} at {before.at:%Y-%m-%d %H:%M} UTC, "
        f"label {before.row.label!r}; correct it like any other row, by landing the id {before.row.id!r} again"
    )


def _landed_name(refused: str) -> str:
    return f"decided-{refused}.jsonl"
