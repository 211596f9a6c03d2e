"""An installation with a stage in each of two regions, on the simulator: the flows' own code, without Prefect's server.

What stands in: time, which is the simulator's; clients with `rate` requests a second; bundles' recorded answers; MLflow's aliases; the
approval, and the question after an inconclusive end. A stage that ended is remembered for the run, as `tasks.once` does it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from answering_servers import Answering, target_on
from made_up_release import made_up
from prefect.logging import disable_run_logger
from rollout_world import pass_with_traffic
from simulator import Simulator

import flows.release
import flows.rollback
import tasks.driving
import tasks.putting_back
import tasks.rolling_back
import tasks.rolling_out
import tasks.verifying
from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_clients import Clients
from deployments.target import Revision
from headgate.errors import Refused
from headgate.lake import open_lake
from headgate.release.audit import entries
from headgate.release.champion import champion, crown
from headgate.release.configuration import Configuration
from headgate.release.record import Release, load_release, save_release
from headgate.release.rollout import Action, Situation
from headgate.settings import Stage, load_settings
from tasks.driving import Drive, StageEnd

REGIONS = {"east": "us-east-1", "west": "us-west-2"}
MODEL = """home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
"""
REGION = """[sagemaker.{name}]
region = "{region}"
role_arn = "arn:aws:iam::123456789012:role/headgate-endpoint"
repository = "123456789012.dkr.ecr.{region}.amazonaws.com/headgate"
captures = "s3://captures/{name}"
instance_count = 4
termination_wait_s = 30
ready_s = 600
[[models.replies.rollout.stages]]
environment = "production-{name}"
target = "{name}"
traffic_routing = {{ type = "CANARY", canary_size_percent = 25 }}
bake_time_s = 60
auto_rollback = {{ min_requests = {least}, max_duration_s = 200, max_p95_ratio = 20, max_p99_ratio = 50 }}
"""


def tell_nobody(environment: str, situation: Situation, action: Action) -> None:
    """Hears each look of a stage."""


class TwoRegions:
    """An old release is champion of both regions, and a new one is approved. `heard` may be set to hear each look of a stage."""

    def __init__(self, simulator: Simulator, servers: Answering) -> None:
        self.simulator, self.servers, self.lake = simulator, servers, open_lake("lake")
        self.old, self.new = self._release("1"), self._release("2")
        self.heard: Callable[[str, Situation, Action], None] = tell_nobody
        self.rate = 1.0
        self.unreachable: set[str] = set()
        self.ended: dict[str, StageEnd] = {}
        for name in REGIONS:
            self.target(name).deploy(f"replies-production-{name}", self.revision(self.old.id))
            crown(self.lake, "replies", f"production-{name}", self.old.id, None, simulator.clock.now())

    def _release(self, number: str) -> Release:
        release = made_up(
            candidate=number * 16,
            bundle_digest=number * 64,
            image_digest=f"sha256:{number * 64}",
            configuration=Configuration(),
            registered_version=number,
        )
        save_release(self.lake, release)
        self.servers.about[release.id] = {name: release.provenance[name] for name in ("bundle_digest", "data_version")}
        return release

    def revision(self, release_id: str) -> Revision:
        """What a target needs to run a release."""
        release = load_release(self.lake, release_id)
        about = {name: getattr(release, name) for name in ("bundle_digest", "model", "configuration", "image_digest")}
        return Revision(release=release.id, bundle="none", **about)

    def target(self, name: str) -> SageMakerTarget:
        """A region; of one that is unreachable, an address where nobody answers."""
        found = target_on(self.simulator, load_settings().sagemaker[name])
        return replace(found, clients=nobody(REGIONS[name])) if name in self.unreachable else found

    def release(self) -> str:
        """The flow's run, again where it was killed."""
        return str(flows.release.release_candidate.fn(self.new.id))

    def release_anew(self) -> str:
        """Another run of the flow."""
        self.ended.clear()
        return self.release()

    def roll_back(self, to: Release | None = None) -> None:
        """By a person's word."""
        flows.rollback.rollback_release.fn("replies", "ada@example.com", "it is bad", to and to.id)

    def live(self) -> dict[str, tuple[str, str]]:
        """By region which release the endpoint has as its only one, and which one the record says."""
        return {name: (self._serving(name), self._recorded(name)) for name in REGIONS}

    def _serving(self, name: str) -> str:
        status = target_on(self.simulator, load_settings().sagemaker[name]).status(f"replies-production-{name}")
        assert status.champion
        assert (status.challenger, status.split.challenger, status.ready) == (None, 0, True)
        return self.called(status.champion.release)

    def _recorded(self, name: str) -> str:
        live = champion(self.lake, "replies", f"production-{name}")
        assert live
        return self.called(live.release)

    def called(self, release: str) -> str:
        """For a reader."""
        return {self.old.id: "old", self.new.id: "new"}[release]

    def audited(self) -> list[tuple[str, str | None]]:
        """What the audit log says was done where."""
        return [(entry.action, entry.environment) for entry in entries(self.lake)]

    def changes(self) -> list[tuple[str, str]]:
        """Each change of an endpoint so far: region and operation."""
        names = ("CreateEndpoint", "UpdateEndpoint", "DeleteEndpoint")
        return [(call.region, call.operation) for call in self.simulator.calls if call.operation in names]

    def _rolled_out(self, release: Release, stage: Stage) -> StageEnd:
        if stage.environment not in self.ended:
            self.ended[stage.environment] = tasks.rolling_out.drive(release, stage)
        return self.ended[stage.environment]

    def _probe(self, target: SageMakerTarget, endpoint: str, *_: object) -> Any:
        return nullcontext(SimpleNamespace(wait=lambda seconds: pass_with_traffic(self.simulator, target, endpoint, seconds, self.rate)))

    def _asked_again(self, release: Release, ended: StageEnd) -> str:
        raise Refused(f"release {self.called(release.id)} is asked about again: {ended.reason}")

    def _test(self, release: Release) -> Any:
        return lambda ask: [] if ask({"instances": [{"text": "Hello"}]})["model"]["release"] == release.id else ["another release answers"]

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """For what is not here, and at the tasks' edges."""
        aliases: dict[str, str] = {}
        for module in (tasks.rolling_out, tasks.putting_back):
            patch.setattr(module, "target_named", self.target)
            patch.setattr(module, "revision_of", self.revision)
        for module in (tasks.verifying, tasks.putting_back):
            patch.setattr(module, "recorded_answers", self._test)
        patch.setattr(tasks.rolling_out, "Showing", lambda _, stage: lambda now, action: self.heard(stage.environment, now, action))
        patch.setattr(tasks.rolling_out, "Drive", partial(Drive, clock=self.simulator.clock.now))
        patch.setattr(tasks.rolling_out, "Probe", self._probe)
        patch.setattr(tasks.rolling_out, "drop_alias", lambda *_: None)
        patch.setattr(tasks.rolling_back, "set_alias", lambda _, alias, version: aliases.update({alias: version}))
        patch.setattr(tasks.rolling_back, "alias_of", lambda _, alias: aliases.get(alias))
        patch.setattr(tasks.driving, "PATIENCE_S", 60.0)
        for name, value in (
            ("open_release", lambda found: load_release(self.lake, found)),
            ("await_decision", lambda _: SimpleNamespace(decision="approve")),
            ("roll_out", self._rolled_out),
            ("undo_stages", tasks.rolling_out.undo_stages.fn),
            ("ask_again_after", self._asked_again),
            ("align_staging", lambda _: None),
            ("finish_release", lambda _, __: "released"),
        ):
            patch.setattr(flows.release, name, value)
        patch.setattr(tasks.rolling_back, "roll_back_stage", tasks.rolling_back.roll_back_stage.fn)
        for name in ("choose_release", "finish_rollback"):
            patch.setattr(flows.rollback, name, getattr(tasks.rolling_back, name).fn)


def nobody(region: str) -> Clients:
    """Clients of an address where nobody listens."""
    names = ("sagemaker", "sagemaker-runtime", "s3", "ecr", "cloudwatch", "sts")
    config = boto3.session.Config(retries={"total_max_attempts": 1}, proxies={})
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=region)
    return Clients(*(session.client(name, endpoint_url="http://127.0.0.1:9", config=config) for name in names))


@contextmanager
def two_regions(folder: Path, simulator: Simulator, servers: Answering, patch: pytest.MonkeyPatch, least: int = 8) -> Iterator[TwoRegions]:
    """The installation in a folder; in the west `least` requests are needed before the machine judges."""
    patch.chdir(folder)
    patch.setenv("HEADGATE_TOML", str(folder / "headgate.toml"))
    needed = {"east": 8, "west": least}
    tables = "".join(REGION.format(name=name, region=region, least=needed[name]) for name, region in REGIONS.items())
    (folder / "headgate.toml").write_text(MODEL + tables)
    load_settings.cache_clear()
    with disable_run_logger():
        world = TwoRegions(simulator, servers)
        world.stand_in(patch)
        yield world
    load_settings.cache_clear()
