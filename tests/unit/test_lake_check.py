from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headgate import cli
from headgate.errors import BadSettings
from headgate.lake import Lake, open_lake
from headgate.lake_check import tried_out


def test_every_promise_is_kept(lake: Lake) -> None:
    found = list(tried_out(lake))
    assert len(found) == 5
    assert [fault for _, fault in found] == [""] * 5


def test_a_store_that_ignores_conditions_is_found_out(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = open_lake(s3_uri)
    put = lake.client.put_object  # type: ignore[attr-defined]

    def careless(**given: Any) -> Any:
        return put(**{name: value for name, value in given.items() if name not in ("IfMatch", "IfNoneMatch")})

    monkeypatch.setattr(lake.client, "put_object", careless)  # type: ignore[attr-defined]
    assert [fault for _, fault in tried_out(lake)][1:3] == [
        "it was: the store ignores If-None-Match",
        "an old tag was taken: the store ignores If-Match",
    ]


def test_the_command_tells_each_promise_and_refuses_a_lake_that_breaks_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(cli.app, ["check-lake", "--lake", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.output.splitlines()] == ["kept"] * 5
    monkeypatch.setattr("headgate.lake.FolderLake.keys", lambda *_: [])
    done = CliRunner().invoke(cli.app, ["check-lake", "--lake", str(tmp_path)])
    assert "NOT KEPT  records are listed as soon as they are written: the list was []" in done.output
    assert isinstance(done.exception, BadSettings)
    assert str(done.exception).endswith("expected a store that keeps every promise, found 1 broken; do not use it as a lake: docs/s3.md")
