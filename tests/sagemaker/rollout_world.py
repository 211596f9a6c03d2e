"""A rollout on the simulator, as the machine drives it: its policies, its traffic, and what it did."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from accounts import ENDPOINT, PLACE
from answering_servers import revision, target_on
from made_up_release import RELEASE
from simulator import Simulator

from deployments.target import Target
from headgate.errors import Unavailable
from headgate.lake import FolderLake
from headgate.release.champion import crown
from headgate.release.rollout import Action, Situation, steps
from headgate.settings import AutoRollback, Stage, TrafficRouting
from tasks.driving import Drive, StageEnd

POLICY = AutoRollback(min_requests=15, max_duration_s=200, max_p95_ratio=20, max_p99_ratio=50)
CANARY = Stage(
    environment="production",
    target="virginia",
    traffic_routing=TrafficRouting(type="CANARY", canary_size_percent=25),
    bake_time_s=60,
    auto_rollback=POLICY,
)
LINEAR = CANARY.model_copy(
    update={"traffic_routing": TrafficRouting(type="LINEAR", linear_step_size_percent=25, wait_interval_s=40), "bake_time_s": 30}
)


LOOK_S = 10.0  # fewer looks than the machine asks for, and none too late for it


OLD, NEW = revision("old"), revision(RELEASE.id)


class World:
    """A rollout by the simulator's clock, with `rate` requests a second; `heard` may be set to hear each look ("wait 25")."""

    def __init__(self, simulator: Simulator, folder: Path, stage: Stage, rate: float = 2, target: Any = None) -> None:
        self.simulator, self.stage, self.rate = simulator, stage, rate
        self.target, self.lake = target or target_on(simulator, PLACE), FolderLake(folder)
        self.seen: list[str] = []
        self.heard: Callable[[str], object] = lambda _: None

    def begin(self) -> None:
        self.target.deploy(ENDPOINT, OLD)
        crown(self.lake, RELEASE.model, "production", "old", None, self.simulator.clock.now())

    def run(self) -> StageEnd:
        return Drive(
            lake=self.lake,
            target=self.target,
            endpoint=ENDPOINT,
            release=RELEASE,
            stage=self.stage,
            revision=lambda: NEW,
            test=self._test,
            probe=self._wait,
            told=self._told,
            clock=self.simulator.clock.now,
        ).to_the_end()

    def kinds(self) -> list[str]:
        return [step.action.kind for step in steps(self.lake, RELEASE.id) if step.phase == "intent"]

    def _told(self, now: Situation, action: Action) -> None:
        """The action, and what share the release has then."""
        self.seen.append(f"{action.kind} {now.challenger_percent}")
        self.heard(self.seen[-1])

    def _wait(self, seconds: float) -> None:
        pass_with_traffic(self.simulator, self.target, ENDPOINT, seconds, self.rate)

    def _test(self, ask: Callable[[dict[str, Any]], dict[str, Any]]) -> Sequence[str]:
        found = ask({"instances": [{"text": "Hello"}]})["model"]["release"]
        return [] if found == RELEASE.id else [f"expected {RELEASE.id}, found {found}"]


def pass_with_traffic(simulator: Simulator, target: Target, endpoint: str, seconds: float, rate: float) -> None:
    """So many requests a second reach the endpoint, and the time passes that they take; never less than LOOK_S."""
    seconds = max(seconds, LOOK_S)
    for _ in range(round(rate * seconds)):
        with suppress(Unavailable):
            target.invoke(endpoint, {"instances": [{"text": "Call me"}]})
    simulator.clock.advance(seconds)
