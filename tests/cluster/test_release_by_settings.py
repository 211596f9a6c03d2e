"""Releases on a cluster as the flows take them there: headgate.toml names it, the image is built and pushed, shadow, rollout, rollback.

Two places by their kubeconfig context and namespace: pre-production minds errors and latency alone, production has a shadow and minds all.
Rollouts are runs of the flow `release_candidate` in processes of their own, as a worker starts them; one is killed amid its canary.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from types import SimpleNamespace
from typing import Any

import pytest
from clients import failures, load
from image_engine import CERTIFICATES, find_engine
from kubectl import ENDPOINT, kubectl
from mlflow import MlflowClient
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Pending

from deployments.cluster_servers import until
from deployments.target import Revision, Split
from flows.release import release_candidate
from headgate.data.frozen import freeze
from headgate.data.rows import Annotation
from headgate.data.version import DataVersion
from headgate.lake import Lake, open_lake
from headgate.model.filters import FilterConfig
from headgate.model.wrapping import wrap
from headgate.release.approval import Answer, archive, decide
from headgate.release.candidate import Candidate
from headgate.release.champion import champion
from headgate.release.configuration import configuration_of
from headgate.release.record import Release, folder, save_release
from headgate.release.rollout import steps
from headgate.release.shadow_report import ShadowReport
from headgate.settings import load_settings
from stack.recovery import recover
from stack.shipping import collect_all, ship_all
from stack.status import describe
from tasks.imaging import push_image
from tasks.places import target_named
from tasks.putting_back import put_back
from tasks.shadowing import mirror
from tasks.wrapping import WrappedBundle

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1200)]
DATA = DataVersion(dataset="replies", version=0, digest="d" * 32, rows=700)
TEXTS = ("yes please call me thursday", "we have no budget this year", "stop writing to me")
TOML = """home = "home"
lake = "lake"
[kubernetes.before]
context = "{context}"
namespace = "{before}"
gateway = "{before}/test"
url = "{url_before}"
{common}
[kubernetes.here]
namespace = "{namespace}"
gateway = "{namespace}/test"
url = "{url}"
{common}
[models.replies]
dataset = "replies"
[models.replies.rollout.shadow]
sampling_percentage = 100
min_requests = 40
max_duration_s = 120
[[models.replies.rollout.stages]]
environment = "pre-production"
target = "before"
traffic_routing = {{ type = "CANARY", canary_size_percent = 50 }}
bake_time_s = 3
probe_rate_per_s = 20
[models.replies.rollout.stages.auto_rollback]
min_requests = 20
max_duration_s = 120
max_p95_ratio = 20
max_p99_ratio = 50
max_label_share_change = 1
max_abstention_change = 1
max_confidence_drop = 1
[[models.replies.rollout.stages]]
environment = "production"
target = "here"
traffic_routing = {{ type = "CANARY", canary_size_percent = 50 }}
bake_time_s = 3
auto_rollback = {{ min_requests = 40, max_duration_s = 120, max_p95_ratio = 20, max_p99_ratio = 50 }}
probe_rate_per_s = 20
"""
COMMON = """repository = "{repository}"
insecure_registry = {insecure}
build_options = {options}
min_pods = 1
worker_cpu_m = 100
ready_s = 90
"""
BEFORE = "replies-pre-production"
A_START = """
import sys
from uuid import UUID
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from flows.release import release_candidate
with get_client(sync_client=True) as api:
    run = api.read_flow_run(UUID(sys.argv[1]))
run_flow(release_candidate, flow_run=run, return_type="state", parameters=dict(run.parameters))
"""


@pytest.fixture(scope="module")
def installation(
    namespace: str,
    gateway: str,
    place_before: tuple[str, str],
    registry: str,
    prefect_server: str,
    shared: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SimpleNamespace]:
    """A folder with a headgate.toml that names the cluster, and a Prefect server."""
    folder = tmp_path_factory.mktemp("installation")
    engine = find_engine(shared, folder)
    secret = ["--secret", f"id=ca,src={CERTIFICATES}"] if CERTIFICATES.exists() else []
    options = json.dumps([*engine.build[2:], *secret])
    insecure = str(engine.run == "podman").lower()
    common = COMMON.format(repository=f"{registry}/by-settings", insecure=insecure, options=options)
    text = TOML.format(
        namespace=namespace,
        url=gateway,
        before=place_before[0],
        url_before=place_before[1],
        context=kubectl("config", "current-context").strip(),
        common=common,
    )
    (folder / "headgate.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in engine.environment.items():
            patch.setenv(variable, value)
        patch.chdir(folder)
        patch.setenv("HEADGATE_TOML", str(folder / "headgate.toml"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        MlflowClient().create_registered_model("replies")
        load_settings.cache_clear()
        lake = open_lake("lake")
        freeze(lake, "replies-regression", [Annotation(id=str(n), text=text, label="a") for n, text in enumerate(TEXTS)])
        yield SimpleNamespace(folder=folder, lake=lake, stage=load_settings().model("replies").rollout.stages[-1])
        target_named("here").delete(ENDPOINT)
        target_named("before").delete(BEFORE)
    load_settings.cache_clear()


def bundle(folder: Path, classifier: Path, number: int, least: float = 0.0) -> WrappedBundle:
    """Where a target looks for a bundle of this digest."""
    provenance = {"model": "replies", "commit": str(number) * 40, "data_version": DATA.model_dump(mode="json")}
    made = wrap(classifier, folder / f"bundle{number}", FilterConfig(min_confidence=least, out_of_scope_share=0.0), provenance)
    kept = folder / "home" / "bundles" / made.digest
    kept.parent.mkdir(parents=True, exist_ok=True)
    made.path.rename(kept)
    return WrappedBundle(path=kept, digest=made.digest)


def candidate(number: int, live: str | None) -> Candidate:
    return Candidate(
        model="replies",
        key=f"{number:016x}",
        data_version=DATA,
        regression_set=DATA,
        commit=str(number) * 40,
        started_by="person:ada@example.com",
        champion=live,
    )


def approved(lake: Lake, subject: Candidate, made: WrappedBundle, image: str | None) -> Release:
    """A release that passed its tests, with its evidence and a person's approval."""
    page = f"evidence of {subject.key}".encode()
    release = Release(
        model="replies",
        candidate=subject.key,
        bundle_digest=made.digest,
        image_digest=image,
        configuration=configuration_of(load_settings().model("replies")),
        data_version=DATA,
        commit=subject.commit,
        evidence_digest=hashlib.sha256(page).hexdigest(),
        verdict="passed",
        expected_champion=subject.champion,
        started_by="person:ada@example.com",
        registered_version=str(MlflowClient().create_model_version("replies", str(made.path)).version),
    )
    save_release(lake, release)
    lake.put_if_absent(f"{folder(release.id)}/evidence/index.html", page)
    answer = Answer(decision="approve", approver="grace@example.com", reason="the evidence is convincing")
    archive(lake, decide(answer, release, datetime.now(UTC), load_settings().model("replies").approval))
    return release


class Run:
    """One run of `release_candidate`, which may be started again."""

    def __init__(self, release: Release) -> None:
        with get_client(sync_client=True) as api:
            self.id = api.create_flow_run(release_candidate, parameters={"release": release.id}, state=Pending()).id

    @contextmanager
    def start(self) -> Iterator[subprocess.Popen[bytes]]:
        """Its process, which is killed with -9 when the block ends; Prefect knows where it runs."""
        with subprocess.Popen([sys.executable, "-c", A_START, str(self.id)]) as process:
            with get_client(sync_client=True) as api:
                api.update_flow_run(self.id, infrastructure_pid=f"{gethostname()}:{process.pid}")
            try:
                yield process
            finally:
                process.kill()

    def end(self) -> str:
        """What a start says at its end: the flow's result, or why it failed."""
        with self.start() as process:
            process.wait(600)
        with get_client(sync_client=True) as api:
            state = api.read_flow_run(self.id).state
        assert state is not None
        return str(state.message) if state.is_failed() else state.name

    def recovered(self) -> list[str]:
        """What the stack's recovery does about a run whose process is gone."""
        with get_client(sync_client=True) as api:
            return recover(api)


@flow(name="train")
def offer(subject: Candidate, made: WrappedBundle) -> tuple[str | None, ShadowReport | None]:
    """What `train_candidate` does with the cluster: the image, and the shadow beside a champion."""
    image = push_image(subject, made)
    stage = load_settings().model("replies").rollout.stages[-1]
    return image, mirror(subject, made, image, stage) if subject.champion else None


def test_releases_go_through_shadow_canary_and_back_on_the_clusters_that_headgate_toml_names(
    installation: SimpleNamespace, tiny_classifier: Path, namespace: str, place_before: tuple[str, str], gateway: str
) -> None:
    lake, home = installation.lake, installation.folder
    first, second, worse = (bundle(home, tiny_classifier, number, least) for number, least in ((1, 0.0), (2, 0.0), (3, 1.0)))

    image, _ = offer(candidate(1, None), first)
    old = approved(lake, candidate(1, None), first, image)
    assert Run(old).end() == "Completed"
    live = champion(lake, "replies", "production")
    assert live is not None
    assert live.release == old.id

    image, shadow = offer(candidate(2, old.id), second)
    assert shadow is not None
    assert shadow.verdict == "passed", shadow.reason
    assert shadow.pairs >= 40
    here = target_named("here")
    assert here.status(ENDPOINT).challenger is None, "the shadow is gone"
    new = approved(lake, candidate(2, old.id), second, image)
    assert new.image_digest != old.image_digest

    run = Run(new)
    with load(gateway, 5) as found:
        with run.start():
            assert until(lambda: _shifted(lake, new), 300, 0.2), "no canary began"
        status = here.status(ENDPOINT)
        assert (_name(status.champion), _name(status.challenger), status.split) == (old.id, new.id, Split(champion=50, challenger=50))
        (said,) = run.recovered()
        assert said.endswith("lost its process in start 1; it starts again")
        assert _held() == 1, "what the killed run held is not free yet"
        assert run.end() == "Completed"
    assert _held() == 0
    assert failures(found) == []
    shifts = [step for step in steps(lake, new.id) if step.environment == "pre-production" and step.action.kind == "shift"]
    assert len(shifts) == 2, "pre-production is not gone through again: one intent, one outcome"
    assert _image(namespace) == _image(place_before[0]) == [new.image_digest]

    image, _ = offer(candidate(3, None), worse)
    bad = approved(lake, candidate(3, new.id), worse, image)
    assert re.search(f"release {bad.id[:12]} was rolled back in production: failed: .*abstention", Run(bad).end())
    assert _image(namespace) == _image(place_before[0]) == [new.image_digest]
    for place, endpoint in (("here", ENDPOINT), ("before", BEFORE)):
        status = target_named(place).status(endpoint)
        assert status.champion is not None
        assert (status.champion.release, status.challenger, status.ready) == (new.id, None, True)
    before = champion(lake, "replies", "pre-production")
    assert before is not None
    assert before.release == new.id

    proof = flow(lambda: put_back(installation.stage, old, "person:grace@example.com", "trying it"))()
    assert proof.faults == ()
    assert _image(namespace) == [old.image_digest]

    collect_all(load_settings())
    assert ship_all(load_settings()).bytes > 0
    logged = [json.loads(line) for key in lake.keys("predictions/replies") for line in lake.read(key).splitlines()]
    assert {old.id, new.id, bad.id} <= {line["release"] for line in logged}
    assert any(f"production: release {old.id[:12]}" in line and ", answers http" in line for line in describe("replies"))


def _shifted(lake: Lake, release: Release) -> bool:
    """Whether its canary in production began."""
    return any((step.environment, step.action.kind, step.phase) == ("production", "shift", "outcome") for step in steps(lake, release.id))


def _held() -> int:
    """Whether a run has production's endpoint."""
    with get_client(sync_client=True) as api:
        return api.read_global_concurrency_limit_by_name(f"endpoint-{ENDPOINT}").active_slots


def _name(revision: Revision | None) -> str | None:
    return revision.release if revision else None


def _image(namespace: str) -> list[str]:
    """The digests of the images that run."""
    found: list[dict[str, Any]] = json.loads(kubectl("get", "deployments", "-n", namespace, "-o", "json"))["items"]
    return sorted({one["spec"]["template"]["spec"]["containers"][0]["image"].partition("@")[2] for one in found})
