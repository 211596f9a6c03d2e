"""`headgate gateway` as a real process, with a real socket: what it refuses to start with, and what a kill leaves."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deployments.processes import Processes
from headgate.data.ingest import ingest
from headgate.data.landing import landed
from headgate.errors import BadSettings
from headgate.lake import open_lake
from headgate.settings import Gateway as GatewaySettings
from headgate.settings import ModelSettings, Settings
from stack.services import Addresses, start_annotation_gateway, wait_for

CHECKOUT = Path(__file__).parents[2]
TOKEN = "t" * 32
ROW = json.dumps({"text": "yes please", "label": "positive"}) + "\n"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("headgate.toml").write_text('home = "home"\nlake = "lake"\n[models.replies]\ndataset = "replies"\n')


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADGATE_", "PREFECT_"))}
    return kept | {"PYTHONPATH": str(CHECKOUT)} | more


COMMAND = [sys.executable, "-m", "headgate", "gateway", "--port", "0"]


@contextmanager
def gateway(**more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    given = environ(HEADGATE_WEBHOOK_SECRETS=TOKEN, **more)
    with subprocess.Popen(COMMAND, env=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline().strip()
            assert told.startswith("headgate gateway: annotations are taken on http://127.0.0.1:"), told
            yield process, told.rpartition(" ")[2]
        finally:
            process.kill()


@contextmanager
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """A Prefect server that takes connections and never answers; the event is set once somebody asked."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            connection, _ = listening.accept()
            connection.recv(1)
            asked.set()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/api", asked


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ({}, "expected a secret in HEADGATE_WEBHOOK_SECRETS, found none; make one with `openssl rand -hex 32`"),
        ({"HEADGATE_WEBHOOK_SECRETS": "short"}, "HEADGATE_WEBHOOK_SECRETS, secret 1: expected a token of at least 24 characters, found 5"),
    ],
)
def test_without_a_good_secret_it_does_not_start(secrets: dict[str, str], expected: str) -> None:
    done = subprocess.run(COMMAND, env=environ(**secrets), capture_output=True, text=True)
    assert done.returncode != 0
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_delivery_that_was_answered_outlives_kill_9_before_its_announcement() -> None:
    lake = open_lake("lake")
    with silent_server() as (prefect, asked), gateway(PREFECT_API_URL=prefect) as (process, url):
        answer = httpx.post(f"{url}/landing/replies/jsonl", content=ROW, headers=HEADERS, trust_env=False)
        assert asked.wait(30), "the announcement had not begun"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (answer.status_code, answer.json()["new"]) == (200, True)
    assert landed(lake, "replies") == [answer.json()["landed"]]
    with gateway() as (_, url):  # the tool sends it again, to a gateway that knows of no Prefect server at all
        again = httpx.post(f"{url}/landing/replies/jsonl", content=ROW, headers=HEADERS, trust_env=False)
    assert again.json() == answer.json() | {"new": False}
    assert (ingest(lake, "replies").files, ingest(lake, "replies").files) == (1, 0)


def test_a_request_that_breaks_off_lands_nothing_and_the_next_is_answered() -> None:
    with gateway() as (_, url):
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as broken:
            head = f"POST /landing/replies/jsonl HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(ROW)}\r\n\r\n"
            broken.sendall(head.encode() + ROW.encode()[:10])
        assert httpx.get(f"{url}/ping", trust_env=False).text == "ok\n"
        assert landed(open_lake("lake"), "replies") == []
        assert httpx.post(f"{url}/landing/replies/jsonl", content=ROW, headers=HEADERS, trust_env=False).status_code == 200


def test_the_local_stack_runs_it_where_a_secret_is_set_and_ends_it_where_that_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = Addresses(prefect="http://127.0.0.1:9", mlflow="http://127.0.0.1:9", gateway="http://127.0.0.1:9")
    settings = Settings(home=Path("home"), models={"replies": ModelSettings(dataset="replies")}, gateway=GatewaySettings(port=24310))
    processes = Processes(Path("home"))
    processes.ensure_running()
    try:
        monkeypatch.delenv("HEADGATE_WEBHOOK_SECRETS", raising=False)
        assert start_annotation_gateway(settings, addresses, print) is None
        monkeypatch.setenv("HEADGATE_WEBHOOK_SECRETS", TOKEN)
        url = start_annotation_gateway(settings, addresses, print)
        assert url is not None
        wait_for({"annotations": f"{url}/ping"}, processes, timeout_s=60)
        assert httpx.post(f"{url}/landing/replies/jsonl", content=ROW, headers=HEADERS, trust_env=False).status_code == 200
        (kept,) = Path("home/supervisor/programs").glob("annotations.conf")
        assert kept.stat().st_mode & 0o077 == 0, "others may not read the secret"
        monkeypatch.delenv("HEADGATE_WEBHOOK_SECRETS")
        assert start_annotation_gateway(settings, addresses, print) == url, "another shell changes nothing"
        assert processes.states()["annotations"].state == "RUNNING"
        monkeypatch.setenv("HEADGATE_WEBHOOK_SECRETS", "short")
        with pytest.raises(BadSettings):
            start_annotation_gateway(settings, addresses, print)
        monkeypatch.setenv("HEADGATE_WEBHOOK_SECRETS", "")
        assert start_annotation_gateway(settings, addresses, print) is None
        assert processes.states() == {}
    finally:
        processes.shutdown()
