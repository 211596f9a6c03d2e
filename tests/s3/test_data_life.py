"""The whole life of a data set on a real S3, and what it asks of the store: the permissions that docs/s3.md lists."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from faulty_link import LinkProcess
from made_up_history import row
from test_faults import assert_sound

from headgate.data import delta
from headgate.data.frozen import freeze, load_frozen
from headgate.data.history import difference, row_history, versions_made
from headgate.data.ingest import ingest
from headgate.data.landing import land
from headgate.data.quarantine import with_ids
from headgate.data.quarantine_decisions import fix
from headgate.data.retention import plan_vacuum, remove
from headgate.data.table import DatasetTable
from headgate.lake import Lake
from headgate.monitoring.shipping import ship_once
from headgate.serving.log_files import LogFiles

NOW = datetime(2026, 6, 1, tzinfo=UTC)
# Of the first pattern that matches a request's line.
ACTIONS = {
    r"^(GET|HEAD) \S*[?&](list-type|prefix|delimiter)=": "s3:ListBucket",
    r"^(GET|HEAD) ": "s3:GetObject",
    r"^(DELETE \S+\?uploadId=)": "s3:AbortMultipartUpload",
    r"^(DELETE |POST \S+\?delete)": "s3:DeleteObject",
    r"^(PUT /[^/ ]+/\S|POST \S+\?upload)": "s3:PutObject",
}


def actions(lines: list[str]) -> set[str]:
    return {next((action for pattern, action in ACTIONS.items() if re.search(pattern, line)), line) for line in lines}


def test_a_data_set_lives_from_landing_to_vacuum_with_three_permissions_and_a_fourth_for_the_vacuum(
    far_lake: Lake, link: LinkProcess, tmp_path: Path
) -> None:
    lake, table = far_lake, DatasetTable(far_lake, "replies")
    big = "x" * 6_000_000
    day0 = tmp_path / "day0.jsonl"
    day0.write_text('{"id": "a", "text": "A", "label": "x"}\n{"id": "b", "text": "B", "label": "x"}\n{"id": "q", "text": "Q"}\n')
    land(lake, "replies", day0)
    assert ingest(lake, "replies").added == 2
    table.merge([row("a", "y", day=200, text=big), row("c")])
    [refused] = with_ids(lake, "replies")["id"]
    fix(lake, "replies", refused, {"label": "z"}, "ada", NOW)
    assert ingest(lake, "replies").added == 1
    assert [(one.id, one.kind) for one in difference(table, 0, 2)] == [("a", "corrected"), ("c", "added"), ("q", "added")]
    newest = table.latest()
    assert newest is not None
    assert table.restore(0, newest).version.rows == 2
    assert [entry["version"] for entry in row_history(table, "a")] == [0, 1, 3]
    assert [made.restored for made in versions_made(table)] == [None, None, None, 0]
    freeze(lake, "replies-regression", [row("r")])
    assert list(load_frozen(lake, "replies-regression")["id"]) == ["r"]
    delta.compact(lake, table.key)
    LogFiles(tmp_path / "log", "predictions").append(b'{"model": "replies"}\n')
    assert ship_once(lake, tmp_path / "log", 7).parts == 1
    assert_sound(table, {"a": "x", "b": "x"})
    assert actions(link.seen()) == {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}
    plan = plan_vacuum(table, {}, datetime.now(UTC) + timedelta(seconds=1), keep_days=0)
    assert plan.files
    remove(lake, plan)
    assert plan_vacuum(table, {}, datetime.now(UTC) + timedelta(seconds=1), keep_days=0).files == {}
    assert list(table.load()["id"]) == ["a", "b"]
    assert actions(link.seen()) == {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"}
