"""The endpoint of `switches.py`: real routers, supervisord and model servers, taken through every switch that a release can bring.

The bundles are one model under three digests (only their provenance differs), so that a switch changes processes and not answers.
"""

import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from deployments.local import LocalTarget
from deployments.target import Revision, Split
from headgate.data.version import DataVersion
from headgate.evaluation.endpoint import endpoint_test
from headgate.lake import FolderLake
from headgate.model.bundle import MANIFEST, digest_of
from headgate.release.champion import champion, crown
from headgate.release.configuration import Configuration
from headgate.release.record import Release
from headgate.release.rollout import Action, Situation
from headgate.settings import AutoRollback, Stage, TrafficRouting
from tasks.driving import Drive
from tasks.putting_back import PutBack

MODEL, ENDPOINT, OTHER = "switches", "switches-production", "switches-staging"
KILL_EVERY_S = 0.3
DATA = DataVersion(dataset=MODEL, version=0, digest="d" * 32, rows=1)


@dataclass(frozen=True)
class Made:
    """A release and where its bundle lies."""

    release: Release
    bundle: Path

    @property
    def revision(self) -> Revision:
        """What the target needs to run it."""
        one = self.release
        return Revision(
            release=one.id, bundle_digest=one.bundle_digest, bundle=self.bundle, model=one.model, configuration=one.configuration
        )


@dataclass
class Timed:
    """One switch: when it began and ended, as UNIX times."""

    name: str
    began: float
    ended: float

    @property
    def took_s(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass
class World:
    """A local endpoint with a champion, and everything that happens to it. Times are UNIX times."""

    folder: Path
    made: tuple[Made, ...]
    min_requests: int = 100
    first_port: int = 23700
    done: list[Timed] = field(default_factory=list)
    verdict_at: float | None = None
    weightless_at: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        """A champion and another endpoint, both ready."""
        self.target, self.lake = LocalTarget(self.folder / "home", first_port=self.first_port), FolderLake(self.folder / "lake")
        first = self.made[0]
        self.url = self.target.deploy(ENDPOINT, first.revision).url or ""
        self.target.deploy(OTHER, first.revision)
        crown(self.lake, MODEL, "production", first.release.id, None, datetime.now(UTC))

    def switches(self) -> tuple[tuple[str, Callable[[], object]], ...]:
        """Every switch in the order of a release's life."""
        new = self.made[1]
        return (
            ("deploy beside the champion", lambda: self.target.deploy(ENDPOINT, new.revision)),
            ("shift 10%", lambda: self.target.set_split(ENDPOINT, Split(champion=90, challenger=10))),
            ("shift 50%", lambda: self.target.set_split(ENDPOINT, Split(champion=50, challenger=50))),
            ("promote", self.promote),
            ("canary of a crash loop, automatic rollback", self.roll_out_a_crash_loop),
            ("put back", lambda: self.put_back(0, "by hand")),
            ("rollback of the rollback", lambda: self.put_back(1, "it was not the model")),
            ("delete the other endpoint", lambda: self.target.delete(OTHER)),
        )

    def go_through(self, calm_s: float, told: Callable[[str], None] = lambda _: None) -> None:
        """One switch after the other, with calm between them."""
        for name, switch in self.switches():
            time.sleep(calm_s)
            began = time.time()
            switch()
            self.done.append(Timed(name, began, time.time()))
            told(f"{name}: {self.done[-1].took_s:.1f} s")
        time.sleep(calm_s)

    def promote(self) -> None:
        """As the rollout does it: the endpoint, then the record."""
        old, new = (made.release.id for made in self.made[:2])
        self.target.promote(ENDPOINT, new)
        crown(self.lake, MODEL, "production", new, old, datetime.now(UTC))

    def put_back(self, place: int, reason: str) -> None:
        """As `headgate rollback` does it, with its proof."""
        one = self.made[place]
        PutBack(
            lake=self.lake,
            target=self.target,
            endpoint=ENDPOINT,
            environment="production",
            release=one.release,
            revision=lambda: one.revision,
            test=lambda ask: endpoint_test(ask, one.bundle, one.release.provenance),
            who="person:bench@example.com",
            reason=reason,
        ).to_the_end()

    def roll_out_a_crash_loop(self) -> None:
        """The shipped driver takes the third release out while its server is killed again and again; it must go back by itself."""
        one = self.made[2]
        policy = AutoRollback(min_requests=self.min_requests, max_duration_s=120)
        routing = TrafficRouting(type="CANARY", canary_size_percent=20)
        with killing(self.target, one.release.id):
            ended = Drive(
                lake=self.lake,
                target=self.target,
                endpoint=ENDPOINT,
                release=one.release,
                stage=Stage(environment="production", traffic_routing=routing, bake_time_s=60, auto_rollback=policy),
                revision=lambda: one.revision,
                test=lambda ask: endpoint_test(ask, one.bundle, one.release.provenance),
                probe=time.sleep,
                told=self._note,
            ).to_the_end()
        self.reason = ended.reason
        if ended.promoted:
            raise RuntimeError(f"expected the crash loop to go back, found it promoted: {ended.reason}")

    def _note(self, _: Situation, action: Action) -> None:
        """The moment of the verdict; from then on the router is asked until it gives the challenger no weight."""
        if action.kind == "roll_back" and self.verdict_at is None:
            self.verdict_at = time.time()
            threading.Thread(target=self._watch_weight, daemon=True).start()

    def _watch_weight(self) -> None:
        while self.weightless_at is None:
            shown = httpx.get(f"{self.url}/metrics", trust_env=False).text
            if f'headgate_router_weight_percent{{cohort="challenger",endpoint="{ENDPOINT}"}} 0.0' in shown:
                self.weightless_at = time.time()
            time.sleep(0.01)

    def last_answer_s(self) -> float | None:
        """Seconds from the verdict to the crash loop's last logged answer; below zero if it gave none after it."""
        files = self.target.prediction_log(ENDPOINT, self.made[2].release.id).glob("predictions*.jsonl")
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines() if line.endswith("}")]
        stamps = [datetime.fromisoformat(line["ts"]).timestamp() for line in lines if line["cohort"] == "challenger"]
        return max(stamps) - self.verdict_at if stamps and self.verdict_at else None

    def champion(self) -> str:
        """The release that is champion by the record."""
        live = champion(self.lake, MODEL, "production")
        return live.release if live else "none"

    def stop(self) -> None:
        """Stop every process."""
        for endpoint in self.target.endpoints():
            self.target.delete(endpoint)
        self.target.processes.shutdown()


@contextmanager
def killing(target: LocalTarget, release: str) -> Iterator[None]:
    """Kill the release's server with SIGKILL again and again, from the moment when it has traffic."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(KILL_EVERY_S):
            state = target.processes.states().get(f"{ENDPOINT}.{release}")
            if state and state.pid and target.status(ENDPOINT).split.challenger:
                try:
                    os.kill(state.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


def three_releases(bundle: Path, folder: Path) -> tuple[Made, ...]:
    """The bundle under three digests, each with its record."""
    return tuple(_variant(bundle, folder / f"bundle{number}", number) for number in range(3))


def _variant(bundle: Path, out: Path, number: int) -> Made:
    shutil.copytree(bundle, out)
    provenance = json.loads((out / "provenance.json").read_text()) | {
        "model": MODEL,
        "commit": str(number) * 40,
        "data_version": DATA.model_dump(mode="json"),
    }
    (out / "provenance.json").write_text(json.dumps(provenance))
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["files"]["provenance.json"] = hashlib.sha256((out / "provenance.json").read_bytes()).hexdigest()
    (out / MANIFEST).write_text(json.dumps(manifest))
    release = Release(
        model=MODEL,
        candidate=f"{number:016x}",
        bundle_digest=digest_of(manifest["files"]),
        configuration=Configuration(),
        data_version=DATA,
        commit=str(number) * 40,
        evidence_digest=str(number) * 64,
        verdict="passed",
        expected_champion=None,
        started_by="person:bench@example.com",
        registered_version=str(number + 1),
    )
    return Made(release, out)
