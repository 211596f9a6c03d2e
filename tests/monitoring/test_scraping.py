"""Debian's Prometheus scrapes real servers and routers with the shipped configuration, and answers every question of the dashboard."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments import dashboards
from deployments.dashboards.panels import ROWS
from deployments.local import LocalTarget
from deployments.target import Revision, Split

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(600)]

FOLDER = Path(dashboards.__file__).parent
ROOT = FOLDER.parents[1]
ENDPOINT = "replies-production"
SCRAPE_S, WINDOW_S, READY_S = 1, 10, 120
QUERIES = [(f"{panel.title}: {query.legend}", query.promql) for row in ROWS for panel in row.panels for query in panel.queries]
TEXTS = [
    f"number {number}: {text}" for number in range(40) for text in ("yes please, call me", "too expensive for us", "stop", "remove me")
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(ready: Any, told: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not within {READY_S} s: {told}")


@contextmanager
def running(command: list[str], log: Path, **options: Any) -> Iterator[None]:
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said, **options) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@contextmanager
def traffic(url: str, servers: list[str]) -> Iterator[None]:
    """Clients that ask through the router all the time, some texts again, some that filters stop; and one that corrects."""
    ended = threading.Event()

    def ask(client: httpx.Client, number: int) -> None:
        body: dict[str, Any] = {"instances": [{"text": TEXTS[number % len(TEXTS)]}]}
        if number % 10 == 0:
            body["instances"].append({"text": "I am away", "headers": {"Auto-Submitted": "auto-replied"}})
        answer = client.post(f"{url}/invocations", json=body, headers={"X-Request-Id": str(number)})
        if number % 20 == 0 and answer.is_success:
            told = answer.json()["predictions"][0]["prediction_id"]
            with suppress(httpx.TransportError):  # a test may have killed the server
                client.post(f"{servers[number // 20 % len(servers)]}/feedback", json={"prediction_id": told, "label": "positive"})

    def clients() -> None:
        with httpx.Client(timeout=30, trust_env=False) as client:
            for number in range(1_000_000):
                if ended.wait(0.02):
                    return
                ask(client, number)

    thread = threading.Thread(target=clients)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)


@pytest.fixture(scope="module")
def target(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    """An endpoint with champion and challenger, each with half of the requests, and half of the champion's mirrored."""
    found = LocalTarget(tmp_path_factory.mktemp("local") / "home", first_port=19_400)
    first = Revision.adhoc(bundle)
    try:
        found.deploy(ENDPOINT, first)
        found.deploy(ENDPOINT, first.model_copy(update={"release": "second"}))
        found.set_split(ENDPOINT, Split(champion=50, challenger=50, shadow=50))
        yield found
    finally:
        found.delete(ENDPOINT)
        found.processes.shutdown()


@pytest.fixture(scope="module")
def prometheus(target: LocalTarget, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a Prometheus that has scraped champion, challenger and router under traffic for a while."""
    folder = tmp_path_factory.mktemp("prometheus")
    gateway, port, url = free_port(), free_port(), target.status(ENDPOINT).url
    assert url
    environment = os.environ | {"HEADGATE_HOME": str(target.home), "HEADGATE_LAKE": str(folder / "lake")}
    servers = [f"http://127.0.0.1:{n}" for name, n in target.ports.known().items() if not name.endswith(".router")]
    command = [sys.executable, "-m", "stack.gateway", "--port", str(gateway)]
    with (
        running(command, folder / "gateway.log", cwd=ROOT, env=environment),
        running(_prometheus(folder, gateway, port), folder / "prometheus.log"),
        traffic(url, servers),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        wait_for(lambda: client.get("/-/ready").is_success, f"{folder / 'prometheus.log'} says why")
        wait_for(lambda: len(_result(client, 'up{job="headgate"} == 1')) == 3, "three targets up")
        wait_for(lambda: _result(client, f"min(count_over_time(up[{WINDOW_S}s])) > {WINDOW_S - 3}"), "enough scrapes")
        yield client


def _prometheus(folder: Path, gateway: int, port: int) -> list[str]:
    """The shipped configuration, with faster scrapes and the gateway of this test."""
    shipped = (FOLDER / "prometheus.yaml").read_text()
    assert shipped.count("127.0.0.1:4300") == 1
    assert shipped.count("15s") == 3
    config = folder / "prometheus.yaml"
    config.write_text(shipped.replace("127.0.0.1:4300", f"127.0.0.1:{gateway}").replace("15s", f"{SCRAPE_S}s"))
    (folder / "alerts.yaml").write_text((FOLDER / "alerts.yaml").read_text())
    options = (f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder / 'tsdb'}")
    return ["prometheus", f"--config.file={config}", *options]


def _result(client: httpx.Client, expression: str) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", f"{expression}: {answer}"
    return list(answer["data"]["result"])


def filled_in(expression: str) -> str:
    """A panel's expression as Grafana sends it with All chosen everywhere."""
    return re.sub(r"\$(model|release|cohort)", ".*", expression.replace("$__rate_interval", f"{WINDOW_S}s"))


@pytest.mark.parametrize("expression", [promql for _, promql in QUERIES], ids=[name for name, _ in QUERIES])
def test_a_question_of_the_dashboard_gets_numbers(prometheus: httpx.Client, expression: str) -> None:
    wait_for(
        lambda: any(found["value"][1] != "NaN" for found in _result(prometheus, filled_in(expression))),
        f"a number for {filled_in(expression)}",
    )


def test_champion_challenger_and_shadow_are_told_apart(prometheus: httpx.Client) -> None:
    (latency,) = (promql for name, promql in QUERIES if name == "Latency by cohort: p99 {{cohort}}")
    wait_for(lambda: {found["metric"]["cohort"] for found in _result(prometheus, filled_in(latency))} == ALL_COHORTS, "all cohorts")
    found = {one["metric"]["cohort"]: float(one["value"][1]) for one in _result(prometheus, filled_in(latency))}
    assert all(0 < seconds < 10 for seconds in found.values())


ALL_COHORTS = {"champion", "challenger", "shadow"}


def test_a_chosen_release_is_the_only_one_shown(prometheus: httpx.Client) -> None:
    (requests,) = (promql for name, promql in QUERIES if name == "Requests by cohort: {{cohort}}")
    chosen = filled_in(requests.replace("$release", "second"))
    wait_for(lambda: {found["metric"]["cohort"] for found in _result(prometheus, chosen)} == {"challenger", "shadow"}, "the challenger's")


def test_the_variables_have_values(prometheus: httpx.Client) -> None:
    def values(label: str, series: str) -> set[str]:
        return set(prometheus.get(f"/api/v1/label/{label}/values", params={"match[]": series}).json()["data"])

    assert values("model", "headgate_serving") == {"replies"}
    assert "second" in values("release", 'headgate_serving{model=~".*"}')
    assert len(values("release", 'headgate_serving{model=~".*"}')) == 2
    assert values("cohort", 'headgate_requests_total{model=~".*"}') == ALL_COHORTS


def test_every_alert_is_evaluated_and_none_fires_on_good_endpoints(prometheus: httpx.Client) -> None:
    def evaluated() -> bool:
        return all(rule["lastEvaluation"][:4] != "0001" for rule in _rules(prometheus))

    wait_for(evaluated, "all rules evaluated")
    found = _rules(prometheus)
    assert len(found) == 14
    assert {rule["name"]: (rule["health"], rule.get("lastError", "")) for rule in found if rule["health"] != "ok"} == {}
    assert [rule["name"] for rule in found if rule["state"] == "firing"] == []


def test_a_server_that_was_killed_and_came_back_is_seen_as_a_start(prometheus: httpx.Client, target: LocalTarget) -> None:
    started = 'changes(process_start_time_seconds{job="headgate",release="second"}[5m])'
    assert [found["value"][1] for found in _result(prometheus, started)] == ["0"]
    pid = target.processes.states()[f"{ENDPOINT}.second"].pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [found["value"][1] for found in _result(prometheus, started)] == ["1"], "one start")


def _rules(client: httpx.Client) -> list[dict[str, Any]]:
    return [rule for group in client.get("/api/v1/rules").json()["data"]["groups"] for rule in group["rules"]]
