"""`headgate triggers` while the stack is down: everything that the lake tells."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_up_ledger import annotate, lake_with_champion, policy

from headgate.lake import Lake
from headgate.release.training_ledger import Beginning, End, RunState, note_beginning, note_end, past_trainings
from headgate.settings import load_settings
from stack.status import describe
from stack.triggers import lines_of, show_triggers, standing_of
from tasks.triggering import decide_once

NOW = datetime.now(UTC)
EVENT = "automation:headgate.dataset.updated"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    yield lake_with_champion()
    load_settings.cache_clear()


def _decide(lake: Lake, when: datetime) -> None:
    decide_once(lake, "replies", EVENT, f"dispatch-{when:%H%M%S}", lambda _: RunState(id="r", kind="open", at=NOW, starts=1), when)


def _lines(when: datetime = NOW) -> list[str]:
    return lines_of(standing_of("replies", 20, False, when))


def test_it_says_what_is_missing_and_what_was_decided_before(lake: Lake) -> None:
    annotate(lake, "c", "d")
    _decide(lake, NOW)
    lines = _lines()
    assert lines[0] == "model replies: no training now: 2 of 4 new rows since version 0"
    assert lines[1] == (
        "  data set replies, data version 1; the stack is down, nothing looks until `headgate up`; what follows is from the lake alone"
    )
    assert "    NO   rows       2 of 4 new rows since version 0" in lines
    assert "    yes  labels     2 of 2 labels with at least 1 new rows (x, y)" in lines
    assert lines[-2].split() == ["when", "(UTC)", "data", "trigger", "decision", "reason"]
    assert lines[-1] == f"    {NOW:%Y-%m-%d %H:%M}  1     {EVENT}  skip      did not train: 2 of 4 new rows since version 0"


def test_a_training_that_is_due_is_told_and_nothing_is_started(lake: Lake) -> None:
    annotate(lake, "c", "d", "e", "f")
    lines = _lines()
    assert lines[0] == "model replies: a training is due: 4 new rows (4 added, 0 corrected) since version 0"
    assert lines[-1] == "  no decisions yet"
    assert past_trainings(lake, "replies", NOW) == ()


def test_a_training_is_told_with_its_flow_run_and_its_end(lake: Lake) -> None:
    annotate(lake, "c", "d", "e", "f")
    _decide(lake, NOW)
    (past,) = past_trainings(lake, "replies", NOW)
    assert _lines()[-1].endswith("trains: 4 new rows (4 added, 0 corrected) since version 0 -> training 0 waits to start")
    note_beginning(lake, past.training, Beginning(run="run-7", candidate=past.training.candidate, data_version=1, at=NOW))
    assert _lines()[-1].endswith("-> training 0 is running, flow run run-7")
    note_end(lake, past.training, End(how="failed", why="out of memory", at=NOW))
    lines = _lines(NOW + timedelta(minutes=1))
    assert lines[-1].endswith("-> training 0 failed: out of memory, flow run run-7")
    due = NOW + timedelta(hours=1)
    assert f"  nothing but time is missing: due after {due:%Y-%m-%d %H:%M} UTC" in lines
    assert lines[0] == (
        f"model replies: no training now: cool-down until {due:%Y-%m-%d %H:%M} UTC, "
        "since training 0 of data version 1 failed: out of memory"
    )


def test_json_holds_the_same_of_every_model_and_says_that_the_stack_is_down(lake: Lake) -> None:
    policy(models='[models.tickets]\ndataset = "tickets"')
    annotate(lake, "c", "d")
    _decide(lake, NOW)
    said: list[str] = []
    assert show_triggers(None, 5, True, said.append) == 0
    first, second = json.loads("\n".join(said))
    assert (first["model"], first["now"]["decision"], first["stack_is_up"], first["next_look"]) == ("replies", "skip", False, None)
    assert first["now"]["reason"] == first["decisions"][0]["reason"] == "did not train: 2 of 4 new rows since version 0"
    assert (second["model"], second["now"]["checks"]) == ("tickets", ["champion"])


def test_status_shows_the_last_decision(lake: Lake) -> None:
    assert not any("retraining:" in line for line in describe("replies"))
    annotate(lake, "c", "d")
    _decide(lake, NOW)
    told = f"  retraining: did not train: 2 of 4 new rows since version 0 ({NOW:%Y-%m-%d %H:%M} UTC; `headgate triggers`)"
    assert told in describe("replies")
