"""Endpoints on this machine, with real routers and supervisord, and stub servers where a server has to misbehave."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from stub_endpoints import BODY, STUB, empty, local_endpoints, stub_revision
from target_contract import StepwiseContract, TrafficContract
from target_ground import Revisions, releases
from target_kills import Killed, StepwiseKillContract

from deployments.asking import ask
from deployments.local import LocalTarget
from deployments.local_servers import EndpointServers
from deployments.supervisord import write_private
from deployments.target import Revision, Split
from headgate.errors import BadBundle, BadInput, NotFound, Refused


@pytest.fixture
def revision(tmp_path: Path) -> Any:
    """Makes revisions of stub bundles, by name."""

    def make(name: str, **behaviour: Any) -> Revision:
        return stub_revision(tmp_path / name, **behaviour)

    return make


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    with local_endpoints(LocalTarget(tmp_path_factory.mktemp("local") / "home", first_port=18400, ready_s=30, server=STUB)) as found:
        yield found


@pytest.fixture
def target(supervised: LocalTarget) -> Iterator[LocalTarget]:
    forget(supervised)
    yield supervised
    forget(supervised)


def forget(target: LocalTarget) -> None:
    """Leave nothing of the endpoints that a test had."""
    empty(target)
    for folder in ("endpoints", "predictions"):
        shutil.rmtree(target.home / folder, ignore_errors=True)


def answered_by(target: LocalTarget, endpoint: str = "staging", **options: Any) -> str:
    return str(target.invoke(endpoint, BODY, **options)["model"]["release"])


def servers(target: LocalTarget) -> set[str]:
    return {name for name, state in target.processes.states().items() if state.state in ("STARTING", "RUNNING")}


@contextmanager
def traffic(url: str, clients: int = 4) -> Iterator[list[str]]:
    """Clients that send requests all the time; yields the list of failures, which grows."""
    failures: list[str] = []
    sent: list[str] = []
    stop = threading.Event()

    def client() -> None:
        with httpx.Client(timeout=30) as http:
            while not stop.is_set():
                try:
                    answer = http.post(f"{url}/invocations", json=BODY)
                    sent.append(answer.headers["X-Headgate-Cohort"])
                    if answer.status_code != 200:
                        failures.append(f"{answer.status_code} {answer.text}")
                except (httpx.HTTPError, KeyError) as fault:
                    failures.append(repr(fault))

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        try:
            yield failures
        finally:
            stop.set()
    assert all(future.exception() is None for future in running)
    assert sent


def test_to_deploy_again_starts_no_process_anew(target: LocalTarget, revision: Any) -> None:
    first = target.deploy("staging", revision("one"))
    assert (first.ready, first.detail) == (True, "")
    pids = {name: state.pid for name, state in target.processes.states().items()}
    assert target.deploy("staging", revision("one")) == first
    assert {name: state.pid for name, state in target.processes.states().items()} == pids
    assert first.url
    assert httpx.get(f"{first.url}/ping").status_code == 200


def test_no_request_is_lost_from_deploy_to_rollback(target: LocalTarget, revision: Any) -> None:
    url = target.deploy("staging", revision("one", delay_s=0.05)).url
    assert url
    router = target.processes.states()["staging.router"].pid
    with traffic(url) as failures:
        target.deploy("staging", revision("two", delay_s=0.05))
        for percent in (10, 50, 0, 90):
            target.set_split("staging", Split(champion=100 - percent, challenger=percent))
        assert releases(target.promote("staging", "two")) == ("two", None, "one")
        target.deploy("staging", revision("three", delay_s=0.05))
        target.set_split("staging", Split(champion=50, challenger=50, shadow=50))
        assert releases(target.rollback("staging")) == ("two", None, "one")
        assert releases(target.rollback("staging", to=target.status("staging").previous)) == ("one", None, "two")
        assert releases(target.rollback("staging", to=target.status("staging").previous)) == ("two", None, "one")
    assert failures == []
    assert target.processes.states()["staging.router"].pid == router
    assert servers(target) == {"staging.router", "staging.two"}


def test_a_split_follows_the_group(target: LocalTarget, revision: Any) -> None:
    target.deploy("staging", revision("one"))
    target.deploy("staging", revision("two"))
    url = target.set_split("staging", Split(champion=50, challenger=50)).url
    with httpx.Client() as http:
        groups = [f"thread-{n}" for n in range(30)]
        found = [
            [http.post(f"{url}/invocations", json=BODY | {"group_id": group}).headers["X-Headgate-Cohort"] for group in groups]
            for _ in range(2)
        ]
    assert found[0] == found[1]
    assert set(found[0]) == {"champion", "challenger"}


def test_a_challenger_that_crashes_at_start_is_removed_and_its_last_words_are_told(target: LocalTarget, revision: Any) -> None:
    target.deploy("staging", revision("one"))
    before = target.processes.states()["staging.one"].pid
    with pytest.raises(Refused) as refused:
        target.deploy("staging", revision("bad", stub="crash"))
    log = target.processes.log("staging.bad")
    assert str(refused.value).startswith(
        "release bad did not become ready at endpoint staging: it ended with exit status 7; nothing was changed."
        f" Last lines of {log}:\n  cannot load the model: out of luck"
    )
    assert releases(target.status("staging")) == ("one", None, None)
    assert target.processes.states()["staging.one"].pid == before
    assert servers(target) == {"staging.router", "staging.one"}


def test_a_server_that_never_gets_ready_is_removed(target: LocalTarget, revision: Any) -> None:
    impatient = LocalTarget(target.home, first_port=18400, ready_s=3, server=STUB)
    with pytest.raises(Refused, match="no answer to GET /ping within 3 s; nothing was changed"):
        impatient.deploy("staging", revision("deaf", stub="deaf"))
    assert target.processes.states() == {}


def test_a_killed_server_comes_back_and_no_request_is_lost(target: LocalTarget, revision: Any) -> None:
    url = target.deploy("staging", revision("one")).url
    assert url
    with traffic(url) as failures:
        pid = target.processes.states()["staging.one"].pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while target.processes.states()["staging.one"].pid in (None, pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert answered_by(target) == "one"
    assert failures == []


def test_without_a_champion_process_the_router_says_503_and_does_not_hang(target: LocalTarget, revision: Any) -> None:
    url = target.deploy("staging", revision("one")).url
    target.processes.stop("staging.one")
    answer = httpx.post(f"{url}/invocations", json=BODY, timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"], answer.headers["Retry-After"]) == (503, "application/problem+json", "1")
    assert answer.json()["detail"] == "the champion of staging does not answer; try again"
    status = target.status("staging")
    assert (status.ready, status.detail) == (False, "staging.router RUNNING")
    assert target.recover() == []
    assert answered_by(target) == "one"


def test_a_challenger_that_is_down_is_answered_for_by_the_champion_and_counted(target: LocalTarget, revision: Any) -> None:
    target.deploy("staging", revision("one"))
    target.deploy("staging", revision("two"))
    target.set_split("staging", Split(champion=0, challenger=100))
    target.processes.stop("staging.two")
    assert [answered_by(target) for _ in range(3)] == ["one"] * 3
    champion, challenger = target.observe("staging", 60)
    assert (champion.requests, champion.errors, challenger.requests, challenger.errors) == (3, 0, 3, 3)


def test_observations_tell_the_cohorts_apart(target: LocalTarget, revision: Any) -> None:
    target.deploy("staging", revision("one"))
    target.deploy("staging", revision("two"))
    assert [o.requests for o in target.observe("staging", 60)] == [0, 0]
    for cohort, times in (("champion", 3), ("challenger", 2)):
        for _ in range(times):
            target.invoke("staging", BODY, cohort=cohort)
    champion, challenger = target.observe("staging", 60)
    assert (champion.cohort, champion.requests, champion.errors, champion.labels) == ("champion", 3, 0, {"positive": 3})
    assert (challenger.requests, challenger.confidence, challenger.abstained) == (2, pytest.approx(0.8), 0)
    assert sum(challenger.latency_ms.values()) == 2


def test_a_server_that_answers_500_is_an_error_of_its_cohort(target: LocalTarget, revision: Any) -> None:
    target.deploy("staging", revision("one"))
    target.deploy("staging", revision("two", stub="broken"))
    url = target.set_split("staging", Split(champion=0, challenger=100)).url
    assert httpx.post(f"{url}/invocations", json=BODY).status_code == 500
    _, challenger = target.observe("staging", 60)
    assert (challenger.requests, challenger.errors) == (1, 1)


def test_shadow_requests_reach_the_challenger_and_count_for_no_cohort(target: LocalTarget, revision: Any) -> None:
    target.deploy("staging", revision("one"))
    target.deploy("staging", revision("two"))
    target.set_split("staging", Split(shadow=100))
    assert {answered_by(target) for _ in range(5)} == {"one"}
    log = target.prediction_log("staging", "two") / "predictions.jsonl"
    deadline = time.monotonic() + 10
    while not log.exists() or log.read_text().count('"shadow"') < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [o.requests for o in target.observe("staging", 60)] == [5, 0]


def test_bad_input_is_the_callers_fault(target: LocalTarget, revision: Any) -> None:
    url = target.deploy("staging", revision("one")).url
    assert httpx.post(f"{url}/invocations", content=b"bad").status_code == 422
    unknown = httpx.post(f"{url}/invocations", json=BODY, headers={"X-Headgate-Cohort": "best"})
    assert (unknown.status_code, unknown.json()["detail"]) == (400, "expected X-Headgate-Cohort champion or challenger, found 'best'")
    nobody = httpx.post(f"{url}/invocations", json=BODY, headers={"X-Headgate-Cohort": "challenger"})
    assert (nobody.status_code, nobody.json()["detail"]) == (404, "endpoint staging has no challenger now")
    with pytest.raises(BadInput, match=r"endpoint staging answered 400: .*expected X-Headgate-Cohort champion or challenger, found 'best'"):
        ask(httpx.Client(), "staging", f"{url}/invocations", "POST", {"X-Headgate-Cohort": "best"}, BODY)


def test_two_endpoints_live_side_by_side(target: LocalTarget, revision: Any) -> None:
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(LocalTarget(target.home, first_port=18400, ready_s=30, server=STUB).deploy, name, revision(name))
            for name in ("a", "a-b")
        ]
        urls = {job.result().url for job in jobs}
    assert len(urls) == 2
    target.delete("a")
    assert answered_by(target, "a-b") == "a-b"
    assert target.endpoints() == ["a-b"]


def test_delete_leaves_the_prediction_log_and_nothing_else(target: LocalTarget, revision: Any) -> None:
    target.deploy("staging", revision("one"))
    target.invoke("staging", BODY)
    target.delete("staging")
    assert target.processes.states() == {}
    assert target.ports.known() == {}
    assert (target.prediction_log("staging", "one") / "predictions.jsonl").exists()
    with pytest.raises(NotFound, match=r"no endpoint staging in .*; found: none. `headgate deploy` makes one"):
        target.invoke("staging", BODY)


def test_a_stopped_stack_serves_the_same_when_it_is_started_again(target: LocalTarget, revision: Any) -> None:
    target.deploy("staging", revision("one"))
    before = target.deploy("staging", revision("two"))
    target.processes.shutdown()
    assert (target.status("staging").ready, target.status("staging").detail) == (False, "supervisord does not run")
    assert target.recover() == []
    assert target.status("staging") == before
    assert answered_by(target, cohort="challenger") == "two"


def test_a_name_or_a_bundle_that_is_not_as_expected_is_refused_and_changes_nothing(target: LocalTarget, revision: Any) -> None:
    before = target.deploy("staging", revision("one"))
    with pytest.raises(BadInput, match="expected an endpoint name"):
        target.deploy("../up", revision("one"))
    wrong = revision("one").model_copy(update={"bundle_digest": "0" * 64})
    with pytest.raises(BadBundle, match=f"release one: expected bundle {'0' * 64}, found "):
        target.deploy("staging", wrong)
    assert target.status("staging") == before


def test_a_killed_change_can_be_undone_instead(target: LocalTarget, revision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    target.deploy("staging", revision("one"))
    before = target.deploy("staging", revision("two"))
    doomed = LocalTarget(target.home, first_port=18400, ready_s=30, server=STUB)
    with monkeypatch.context() as patch:
        patch.setattr(doomed.processes, "stop", lambda _: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            doomed.promote("staging", "two")
    assert answered_by(target) == "two"
    assert target.status("staging").detail == "'promote two' is under way, or was interrupted: then repeat it"
    assert target.recover() == ["endpoint staging: 'promote two' was interrupted and is undone; repeat it"]
    assert target.status("staging") == before
    assert answered_by(target) == "one"


def counting_down(moments: int) -> Callable[[Any], Any]:
    """Wraps what changes something: once so many calls were made, the next one is never taken, nor any after it."""
    left = iter(range(moments))

    def counted(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return function(*args, **kwargs)

        return call

    return counted


@pytest.fixture(scope="module")
def revisions(tmp_path_factory: pytest.TempPathFactory) -> Revisions:
    folder = tmp_path_factory.mktemp("revisions")
    return Revisions(
        stub_revision(folder / "one"), stub_revision(folder / "two", positive=0.5), stub_revision(folder / "bad", stub="crash")
    )


class OnThisMachine:
    """The fixtures of `target_ground`."""

    @pytest.fixture
    def endpoint(self) -> str:
        return "staging"

    @pytest.fixture
    def target(self, supervised: LocalTarget) -> LocalTarget:  # its endpoint stays from test to test
        return supervised

    @pytest.fixture
    def make_target(self, target: LocalTarget) -> Callable[..., LocalTarget]:
        return partial(LocalTarget, target.home, first_port=18400, ready_s=30, server=STUB)

    @pytest.fixture
    def servers(self, target: LocalTarget) -> Callable[[], set[str]]:
        return lambda: {name.removeprefix("staging.") for name in servers(target)} - {"router"}

    @pytest.fixture
    def doomed(self, make_target: Callable[..., LocalTarget], monkeypatch: pytest.MonkeyPatch) -> Any:
        @contextmanager
        def dying(moment: int) -> Iterator[LocalTarget]:
            target, counted = make_target(), counting_down(moment)
            with monkeypatch.context() as patch:
                for owner, names in [(target.processes, ("start", "stop")), (target.ports, ("get", "release"))]:
                    for name in names:
                        patch.setattr(owner, name, counted(getattr(owner, name)))
                patch.setattr("deployments.local_servers.EndpointServers._reloaded", counted(EndpointServers._reloaded))
                for module in ("local", "local_servers"):
                    patch.setattr(f"deployments.{module}.write_private", counted(write_private))
                patch.setattr("deployments.local.LocalTarget._forget", counted(LocalTarget._forget))
                yield target

        return dying

    @pytest.fixture
    def traffic(self) -> Any:
        return lambda url: traffic(url, clients=1)


class TestLocalTarget(OnThisMachine, StepwiseContract, TrafficContract):
    """What every target promises."""


class TestLocalTargetKilledNowAndThen(OnThisMachine, StepwiseKillContract):
    stride = 6


@pytest.mark.slow
class TestLocalTargetKilledMoreOften(OnThisMachine, StepwiseKillContract):
    start, stride = 1, 3


@pytest.fixture
def real_target(target: LocalTarget) -> LocalTarget:
    return LocalTarget(target.home, first_port=18600)


def test_the_real_server_serves_a_real_bundle_through_a_whole_release(real_target: LocalTarget, bundle: Path) -> None:
    first = Revision.adhoc(bundle)
    assert first.model == "replies"
    url = real_target.deploy("production", first).url
    assert url
    with traffic(url) as failures:
        real_target.deploy("production", first.model_copy(update={"release": "second"}))
        assert answered_by(real_target, "production", cohort="challenger") == "second"
        real_target.set_split("production", Split(champion=50, challenger=50, shadow=100))
        deadline = time.monotonic() + 30
        while min(observation.requests for observation in real_target.observe("production", 60)) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        real_target.promote("production", "second")
        assert real_target.rollback("production", first).ready
    assert failures == []
    (champion,) = real_target.observe("production", 60)
    assert (champion.cohort, champion.errors, champion.confidence is not None) == ("champion", 0, True)


def test_what_the_real_server_refuses_keeps_its_status_through_the_router(real_target: LocalTarget, bundle: Path) -> None:
    url = real_target.deploy("production", Revision.adhoc(bundle)).url
    too_large = b'{"instances": [{"text": "' + b"x" * 6 * 2**20 + b'"}]}'
    bodies = [b"", b"[" * 100_000, b'{"instances": [{"text": NaN}]}', b'{"group_id": 7, "instances": 3}', b"\xff\xfe", too_large]
    with httpx.Client(timeout=30) as http:
        answers = [http.post(f"{url}/invocations", content=body, headers={"Content-Type": "application/json"}) for body in bodies]
        zipped = http.post(f"{url}/invocations", content=b"{}", headers={"Content-Encoding": "gzip"})
        unknown = http.get(f"{url}/no/such/place?a=b%20c")
    assert [answer.status_code // 100 for answer in (*answers, zipped, unknown)] == [4] * 8
    assert answers[-1].status_code == 413
    assert {answer.headers["Content-Type"] for answer in (*answers, zipped)} == {"application/problem+json"}


def test_the_router_shows_its_own_metrics(real_target: LocalTarget, bundle: Path) -> None:
    url = real_target.deploy("production", Revision.adhoc(bundle)).url
    real_target.invoke("production", BODY)
    shown = httpx.get(f"{url}/metrics").text
    release = Revision.adhoc(bundle).release
    assert f'headgate_router_requests_total{{cohort="champion",endpoint="production",release="{release}",status="200"}}' in shown
    assert 'headgate_router_weight_percent{cohort="champion",endpoint="production"} 100.0' in shown


def test_the_router_shows_the_metrics_of_a_cohorts_server_where_the_cohort_is_named(real_target: LocalTarget, bundle: Path) -> None:
    url = real_target.deploy("production", Revision.adhoc(bundle)).url
    shown = httpx.get(f"{url}/metrics", headers={"X-Headgate-Cohort": "champion"}).text
    assert "process_resident_memory_bytes " in shown
    assert "headgate_router" not in shown
    assert httpx.get(f"{url}/metrics", headers={"X-Headgate-Cohort": "challenger"}).status_code == 404
