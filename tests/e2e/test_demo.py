"""`make demo`, unattended, on real parts. What it asserts is read from the demo's lake and from its traffic log, not from its words."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headgate.evaluation.report import Report
from headgate.lake import FolderLake
from headgate.release.audit import entries
from headgate.release.champion import champion
from headgate.release.training_ledger import past_trainings
from stack.demo.acts import ACTS
from stack.demo.observed import Told, releases_of, rolled_back
from stack.demo.record import Story
from stack.demo.traffic import read_log

pytestmark = [pytest.mark.demo, pytest.mark.timeout(3600)]
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The home of a demo that came to its end."""
    home = tmp_path_factory.mktemp("demo") / "home"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "HEADGATE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "headgate", "demo", "--home", str(home)],
        cwd=CHECKOUT,
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3500,
    )
    print(done.stdout)  # noqa: T201 - shown by pytest when a test fails
    assert done.returncode == 0, done.stdout[-4000:]
    return home


@pytest.fixture(scope="module")
def lake(told):
    return FolderLake(told / "lake")


@pytest.fixture(scope="module")
def releases(told, lake) -> list[Told]:
    """First, better, worse and slow; on a busy machine one may have been tested twice."""
    wanted = ("first-release", "better-model", "worse-model", "slow-model")
    ids = {act.name: act.facts["release"] for act in Story(told / "story").acts()}
    known = {found.release.id: found for found in releases_of(lake)}
    return [known[ids[name]] for name in wanted]


def test_every_act_came_to_its_end(told):
    acts = Story(told / "story").acts()
    assert [(act.name, act.failed) for act in acts] == [(act.name, "") for act in ACTS]


def test_no_request_of_productions_clients_failed(told):
    requests = read_log(told / "story" / "traffic.jsonl")
    assert len(requests) > 1000
    assert [one.error for one in requests if one.failed] == []


def test_new_annotations_set_off_the_training_of_the_better_model(lake, releases):
    assert releases[0].release.started_by == "person:ada@example.com"
    trainings = [one.training for one in past_trainings(lake, "replies", datetime.now(UTC)) if one.data_version == 1]
    assert [one.started_by in ("automation:headgate.dataset.updated", "automation:catch-up") for one in trainings] == [True]
    report = Report.model_validate_json(lake.read(f"releases/{releases[1].release.id}/evidence/report.json"))
    assert report.champion is not None
    assert report.candidate.macro_f1 > report.champion.macro_f1


def test_the_better_model_went_through_pre_production_and_production(releases):
    moves = [(step.environment, step.action.kind) for step in releases[1].moves if step.action.kind in ("shift", "promote", "finish")]
    stage = ["shift", "promote", "finish"]
    assert moves == [("pre-production", kind) for kind in stage] + [("production", kind) for kind in stage]


def test_the_poisoned_batch_never_came_to_a_training(lake):
    poisoned = [one for one in past_trainings(lake, "replies", datetime.now(UTC)) if one.data_version == 2]
    assert len(poisoned) == 1
    assert poisoned[0].outcome is not None
    assert poisoned[0].outcome.release is None
    assert "label_errors_new" in str(poisoned[0].outcome.stopped)


def test_the_worse_model_was_stopped_by_its_comparison_with_the_champion(releases):
    worse = releases[2]
    assert (worse.release.verdict, worse.decided, worse.moves) == ("failed", "", ())
    assert "macro_f1_against_champion failed" in worse.stopped


def test_the_slow_model_passed_its_tests_and_was_taken_back_by_productions_canary(releases):
    slow = releases[3]
    assert slow.release.verdict == "passed"
    back = rolled_back(slow.moves)
    assert back is not None
    assert (back.environment, back.action.verdict) == ("production", "failed")
    assert "p95_ms" in back.action.reason or "p99_ms" in back.action.reason
    assert ("pre-production", "promote") in [(step.environment, step.action.kind) for step in slow.moves]


def test_the_rollback_by_hand_put_the_first_release_back_everywhere(lake, releases):
    first, better = releases[0].release.id, releases[1].release.id
    for environment in ("pre-production", "production"):
        live = champion(lake, "replies", environment)
        assert live is not None
        assert (live.release, live.previous[0]) == (first, better)
    by_hand = [one for one in entries(lake) if one.action == "roll_back" and one.who == "oncall@example.com"]
    assert [one.environment for one in by_hand] == ["production", "pre-production"]
    assert {one.reason for one in by_hand} == {"a customer finds the answers odd"}


def test_the_page_can_be_read_without_the_stack(told, releases):
    page = (told / "page" / "index.html").read_text()
    for one in releases:
        assert (told / "page" / f"evidence-{one.release.id[:12]}.html").stat().st_size > 10_000
        assert one.release.id[:12] in page
    assert "http://" not in page.replace("http://127.0.0.1", "")


def test_no_process_of_the_demo_is_left(told):
    done = subprocess.run([sys.executable, "-m", "headgate", "status"], cwd=CHECKOUT, env=_of(told), capture_output=True, text=True)
    assert "stack: stopped" in done.stdout, done.stdout


def _of(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "HEADGATE_"))}
    return kept | {"HEADGATE_HOME": str(home), "HEADGATE_LAKE": str(home / "lake"), "HEADGATE_TOML": str(home / "headgate.toml")}
