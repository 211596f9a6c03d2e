"""A rollout over two regions of SageMaker, stage by stage as the flows run it: order, failure, an unreachable region, kills."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from pathlib import Path

import pytest
from answering_servers import Answering
from simulator import Simulator
from target_kills import Killed
from two_regions import REGIONS, TwoRegions, two_regions

from headgate.errors import Refused, Unavailable
from headgate.release.rollout import Action, Situation
from headgate.settings import load_settings
from tasks.driving import StageEnd
from tasks.rolling_out import undo_stages

EAST, WEST = REGIONS.values()
OLD, NEW = ("old", "old"), ("new", "new")


@pytest.fixture
def installed(tmp_path: Path, simulator: Simulator, servers: Answering, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoRegions]:
    with two_regions(tmp_path, simulator, servers, monkeypatch) as found:
        yield found


def regions_in_turn(installed: TwoRegions, since: int) -> list[str]:
    """In which regions endpoints were changed, one after the other."""
    return [region for region, _ in groupby(region for region, _ in installed.changes()[since:])]


def in_the_west(installed: TwoRegions, act: Callable[[], object]) -> None:
    """Do something once the stage of the second region has sent its plan."""

    def hear(environment: str, now: Situation, _: Action) -> None:
        if environment == "production-west" and now.shifting_to is not None:
            act()

    installed.heard = hear


def fail_in_the_west(installed: TwoRegions) -> None:
    """The new release answers with another label there, and enough requests tell."""
    in_the_west(installed, lambda: (installed.servers.label.update({installed.new.id: "other"}), setattr(installed, "rate", 3.0)))


def test_the_second_region_begins_after_the_firsts_bake_and_a_person_takes_both_back_in_turn(installed: TwoRegions) -> None:
    before = len(installed.changes())
    found: list[dict[str, tuple[str, str]]] = []

    def hear(environment: str, _: Situation, action: Action) -> None:
        if environment == "production-west" and action.kind == "deploy":
            found.append(installed.live())

    installed.heard = hear
    assert installed.live() == {"east": OLD, "west": OLD}
    assert installed.release() == "released"
    assert found == [{"east": NEW, "west": OLD}]
    assert installed.live() == {"east": NEW, "west": NEW}
    assert regions_in_turn(installed, before) == [EAST, WEST]
    assert installed.audited() == [("promote", "production-east"), ("promote", "production-west")]
    between = len(installed.changes())
    installed.roll_back()
    assert installed.live() == {"east": OLD, "west": OLD}
    assert regions_in_turn(installed, between) == [WEST, EAST]


def test_a_failure_that_the_machine_sees_in_the_second_region_takes_the_first_back_too(installed: TwoRegions) -> None:
    before = len(installed.changes())
    fail_in_the_west(installed)
    with pytest.raises(Refused, match=rf"^release {installed.new.id[:12]} was rolled back in production-west: failed: share of "):
        installed.release()
    assert installed.live() == {"east": OLD, "west": OLD}
    assert regions_in_turn(installed, before) == [EAST, WEST, EAST]
    assert installed.audited() == [
        ("promote", "production-east"),
        ("roll_back_started", "production-east"),
        ("roll_back", "production-east"),
        ("roll_back_verified", "production-east"),
        ("roll_back", "production-west"),
    ]


def test_an_alarm_in_the_second_region_takes_the_first_back_too(
    tmp_path: Path, simulator: Simulator, servers: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_regions(tmp_path, simulator, servers, monkeypatch, least=10_000) as installed:
        in_the_west(installed, lambda: servers.errors.update({installed.new.id: 1.0}))
        told = "failed: the target went back by itself: Deployment was rolled back because the alarm headgate-replies-production-west-"
        with pytest.raises(Refused, match=rf"^release {installed.new.id[:12]} was rolled back in production-west: {told}"):
            installed.release()
        assert installed.live() == {"east": OLD, "west": OLD}
        assert installed.audited()[-2:] == [("roll_back_verified", "production-east"), ("roll_back", "production-west")]


def test_too_little_evidence_in_the_second_region_takes_the_first_back_and_asks_again(installed: TwoRegions) -> None:
    in_the_west(installed, lambda: setattr(installed, "rate", 0.1))
    with pytest.raises(Refused, match=r"^release new is asked about again: inconclusive: \d requests, needed 8"):
        installed.release()
    assert installed.live() == {"east": OLD, "west": OLD}


def unavailable(installed: TwoRegions) -> None:
    installed.simulator.fail("DescribeEndpoint", "ServiceUnavailable", 100_000, region=WEST)


def not_reached(installed: TwoRegions) -> None:
    installed.unreachable.add("west")


@pytest.mark.parametrize(
    ("down", "told", "then"),
    [
        (unavailable, "AWS answered ServiceUnavailable: injected; nothing is lost, try again", "released"),
        (not_reached, "EndpointConnectionError: Could not connect to the endpoint URL: .*; nothing is lost, try again", "taken back"),
    ],
    ids=["unavailable", "not reached"],
)
def test_a_second_region_that_is_down_leaves_what_a_later_run_completes_and_a_rollback_takes_back(
    installed: TwoRegions, down: Callable[[TwoRegions], None], told: str, then: str
) -> None:
    down(installed)
    with pytest.raises(Unavailable, match=f"^endpoint replies-production-west: {told}"):
        installed.release()
    installed.simulator.heal()
    installed.unreachable.clear()
    assert installed.live() == {"east": NEW, "west": OLD}
    assert installed.audited() == [("promote", "production-east")]
    if then == "released":
        assert installed.release_anew() == "released"
        assert installed.live() == {"east": NEW, "west": NEW}
    else:
        with pytest.raises(Refused, match="a rollout or a rollback stopped between them; to have"):
            installed.roll_back()
        installed.roll_back(to=installed.old)
        assert installed.live() == {"east": OLD, "west": OLD}


def test_a_first_region_that_is_down_on_the_way_back_goes_back_later(installed: TwoRegions) -> None:
    fail_in_the_west(installed)
    failing = installed.heard

    def hear(environment: str, now: Situation, action: Action) -> None:
        failing(environment, now, action)
        if action.kind == "roll_back":
            installed.unreachable.add("east")

    installed.heard = hear
    with pytest.raises(Unavailable, match=r"^endpoint replies-production-east: EndpointConnectionError"):
        installed.release()
    assert installed.live() == {"east": NEW, "west": OLD}
    assert installed.audited()[-1] == ("roll_back_failed", "production-east")
    installed.unreachable.clear()
    installed.heard = failing
    with pytest.raises(Refused, match=rf"^release {installed.new.id[:12]} was rolled back in production-west: failed: share of "):
        installed.release_anew()
    assert installed.live() == {"east": OLD, "west": OLD}


def undo_both(installed: TwoRegions) -> None:
    """A third stage failed."""
    stages = load_settings().model("replies").rollout.stages
    ended = StageEnd(environment="production-south", promoted=False, reason="failed: too slow", verdict="failed")
    undo_stages.fn(installed.new, stages, ended)


@pytest.mark.parametrize(
    ("go_back", "ends"),
    [
        (lambda installed: installed.roll_back(to=installed.old), nullcontext()),
        (undo_both, pytest.raises(Refused, match=r"failed: too slow$")),
    ],
    ids=["by a person's word", "since a third stage failed"],
)
def test_a_region_that_is_down_keeps_no_other_from_going_back(
    installed: TwoRegions, go_back: Callable[[TwoRegions], None], ends: AbstractContextManager[object]
) -> None:
    installed.release()
    installed.unreachable.add("west")
    with pytest.raises(Unavailable, match=r"^endpoint replies-production-west: EndpointConnectionError: [^;]*; nothing is lost, try"):
        go_back(installed)
    assert installed.live() == {"east": OLD, "west": NEW}
    installed.unreachable.clear()
    with ends:
        go_back(installed)
    assert installed.live() == {"east": OLD, "west": OLD}


def killed_at_each_first(installed: TwoRegions) -> set[tuple[str, str]]:
    """Kill the run when it decides on an action for the first time, in each region; the looks at which that happened."""
    seen: set[tuple[str, str]] = set()
    earlier = installed.heard

    def hear(environment: str, now: Situation, action: Action) -> None:
        earlier(environment, now, action)
        if (environment, action.kind) not in seen:
            seen.add((environment, action.kind))
            raise Killed

    installed.heard = hear
    return seen


def to_the_end(installed: TwoRegions) -> str:
    """Run it again as often as it is killed."""
    while True:
        try:
            return installed.release()
        except Killed:
            continue


def test_a_run_that_is_killed_in_each_state_and_between_the_regions_arrives(installed: TwoRegions) -> None:
    before = len(installed.changes())
    seen = killed_at_each_first(installed)
    assert to_the_end(installed) == "released"
    assert seen == {(f"production-{name}", kind) for name in REGIONS for kind in ("deploy", "submit", "wait", "test", "finish")}
    assert installed.live() == {"east": NEW, "west": NEW}
    assert installed.changes()[before:] == [(EAST, "UpdateEndpoint"), (WEST, "UpdateEndpoint")]
    assert installed.audited() == [("promote", "production-east"), ("promote", "production-west")]


def test_a_run_that_is_killed_in_each_state_of_a_failure_takes_both_regions_back(installed: TwoRegions) -> None:
    fail_in_the_west(installed)
    seen = killed_at_each_first(installed)
    with pytest.raises(Refused, match=rf"^release {installed.new.id[:12]} was rolled back in production-west: failed: share of "):
        to_the_end(installed)
    assert ("production-west", "roll_back") in seen
    assert installed.live() == {"east": OLD, "west": OLD}
