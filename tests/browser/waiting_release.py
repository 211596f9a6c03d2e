"""A running local stack, and tested releases put straight into its lake: what a training leaves behind, without the training."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import made_up_evidence
import mlflow

from deployments.ports import Ports
from headgate.data.frozen import freeze
from headgate.data.rows import Annotation
from headgate.data.version import DataVersion
from headgate.evaluation.evidence import Evidence, summary_markdown, write_evidence
from headgate.lake import Lake, open_lake
from headgate.model import flavor
from headgate.model.bundle import open_bundle
from headgate.release.candidate import Candidate
from headgate.release.record import Release, folder, save_release
from headgate.release.registry import Registered, log_evidence, set_alias
from tasks.places import keep_folder

CHECKOUT = Path(__file__).parents[2]
MODEL = "replies"
DATA = DataVersion(dataset=MODEL, version=3, digest="d1", rows=12)
TEXTS = ("yes please, call me thursday", "too expensive for us", "remove me from the list", "no budget left this year")


class Stack:
    """`headgate up` with all its state in a folder of its own, and free ports."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lake: Lake = open_lake(str(home / "lake"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "HEADGATE_"))}
        ports = {"PREFECT": 34200, "MLFLOW": 35000, "GATEWAY": 34300, "ENDPOINT": 38400}
        self.environment = kept | {"HEADGATE_HOME": str(home), "HEADGATE_LAKE": str(home / "lake"), "USER": "ada@example.com"}
        self.environment |= {f"HEADGATE_STACK__{name}_PORT": str(port) for name, port in ports.items()}

    def __call__(self, *arguments: str) -> None:
        """Run a command of the checkout; what it printed is told where it fails."""
        command = [Path(sys.executable).parent / "headgate", *arguments]
        done = subprocess.run(command, cwd=CHECKOUT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def up(self) -> None:
        """Start all of it; once more where a busy machine took longer than `headgate up` waits, since it goes on where it was."""
        try:
            self("up")
        except AssertionError as fault:
            if "expected an answer within" not in str(fault):
                raise
            self("up")

    def address(self, service: str) -> str:
        return f"http://127.0.0.1:{Ports(self.home).known()[service]}"

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer of Prefect's API; without a body it is read, with one it is posted."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address('prefect')}/api/{path}", data, {"Content-Type": "application/json"})
        return json.loads(_answered(request))

    def approval(self, release: Release) -> dict[str, Any] | None:
        """The archived decision; None while the release is open."""
        entry = self.lake.get(f"{folder(release.id)}/approval.json")
        return json.loads(entry.data) if entry else None

    def ask(self, release: Release) -> str:
        """Start the run that waits for a person, as the training's last step does; its id."""
        deployment = self.api("deployments/name/release_candidate/default")
        body = {"parameters": {"release": release.id}, "idempotency_key": release.evidence_digest}
        return str(self.api(f"deployments/{deployment['id']}/create_flow_run", body)["id"])

    def state(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api(f"flow_runs/{run}")["state"]
        return found

    def wait(self, run: str, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 400) -> dict[str, Any]:
        """The run's state once it is as wanted; the failure shows the last one."""
        deadline = time.monotonic() + timeout_s
        while not wanted(state := self.state(run)):
            assert time.monotonic() < deadline, state
            assert state["type"] not in ("FAILED", "CANCELLED"), state
            time.sleep(0.2)
        return state


def _answered(request: urllib.request.Request, tries: int = 20) -> bytes:
    """The answer's body; asked again where the server is too busy, as Prefect's own client does."""
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())
        except HTTPError as fault:
            if fault.code != HTTPStatus.SERVICE_UNAVAILABLE or not left:
                raise
            time.sleep(0.5)
    raise AssertionError("unreachable")


def put_release(stack: Stack, bundle: Path, work: Path, key: str) -> Release:
    """A release that passed, with evidence, bundle and model version where a training puts them; `key` tells two of them apart."""
    candidate = _candidate(stack.lake, key)
    digest = open_bundle(bundle).digest
    registered = _registered(stack, bundle, key)
    evidence = _evidence(work / "report", candidate, registered, digest)
    release = Release(
        model=MODEL,
        candidate=key,
        bundle_digest=digest,
        data_version=DATA,
        commit=candidate.commit,
        evidence_digest=write_evidence(work / "evidence", evidence),
        verdict=evidence.verdict,
        expected_champion=None,
        started_by=candidate.started_by,
        registered_version=registered.version,
    )
    _keep(stack, release, evidence, registered, work / "evidence")
    return release


def _candidate(lake: Lake, key: str) -> Candidate:
    rows = [Annotation.model_validate({"text": text, "label": "other"}) for text in TEXTS]
    return Candidate(
        model=MODEL,
        key=key,
        data_version=DATA,
        regression_set=freeze(lake, f"{MODEL}-regression", rows),
        commit="c0ffee",
        started_by="automation:headgate.dataset.updated",
        champion=None,
    )


def _registered(stack: Stack, bundle: Path, key: str) -> Registered:
    """The bundle as a model version, from which the rollout fetches it."""
    mlflow.set_tracking_uri(stack.address("mlflow"))
    mlflow.set_experiment(MODEL)
    with mlflow.start_run(run_name=key) as run:
        logged = flavor.log_model(bundle, name="bundle", registered_model_name=MODEL)
    return Registered(version=str(logged.registered_model_version), run_id=run.info.run_id)


def _evidence(out: Path, candidate: Candidate, registered: Registered, digest: str) -> Evidence:
    """Made-up measurements about the real bundle."""
    found = made_up_evidence.evidence(out, first_release=True)
    changed = {"bundle_digest": digest, "data": DATA, "commit": candidate.commit, "started_by": candidate.started_by}
    provenance = {"registered_version": f"{MODEL} version {registered.version}", "candidate": candidate.key}
    subject = found.subject.model_copy(update=changed)
    return found.model_copy(update={"subject": subject, "provenance": found.provenance | provenance})


def _keep(stack: Stack, release: Release, evidence: Evidence, registered: Registered, out: Path) -> None:
    page = f"{stack.address('gateway')}/{folder(release.id)}/evidence/index.html"
    (out / "summary.md").write_text(summary_markdown(evidence, page), encoding="utf-8")
    keep_folder(stack.lake, out, f"{folder(release.id)}/evidence")
    save_release(stack.lake, release)
    log_evidence(registered.run_id, out, {"accuracy": evidence.report.candidate.accuracy})
    set_alias(MODEL, "challenger", release.registered_version)
