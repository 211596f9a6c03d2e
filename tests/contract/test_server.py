"""A real serving process: it answers, it survives whatever it is sent, and it ends in good order."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.evaluation.endpoint import endpoint_test

JSON = {"Content-Type": "application/json"}
READY_S = 60


@dataclass(frozen=True)
class Server:
    """A running process and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client
    port: int


def command(bundle: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "headgate.serving", str(bundle), *options]


def start(bundle: Path, *options: str) -> Server:
    process = subprocess.Popen(command(bundle, "--port", "0", *options), stderr=subprocess.PIPE, text=True)
    assert process.stderr
    said = process.stderr.readline()
    assert "serving bundle" in said, said + process.stderr.read()
    port = int(said.split("http://127.0.0.1:")[1].split(",")[0])
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            client.get("/ping").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return Server(process, client, port)
    process.kill()
    raise AssertionError(f"not ready after {READY_S} s")


def stop(server: Server) -> int:
    server.client.close()
    server.process.send_signal(signal.SIGTERM)
    _, said = server.process.communicate(timeout=60)
    assert "Traceback" not in said, said
    return server.process.returncode


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    named = ["--model", "replies", "--release", "r7", "--cohort", "challenger", "--max-cached", "9"]
    running = start(bundle, "--log-dir", str(tmp_path_factory.mktemp("log")), *named)
    yield running
    assert stop(running) == 0


def answers(server: Server) -> bool:
    found = server.client.post("/invocations", json={"instances": [{"text": "still there?"}]})
    return found.status_code == 200 and len(found.json()["predictions"]) == 1


def test_it_passes_the_endpoint_test_of_its_bundle(server: Server, bundle: Path) -> None:
    assert endpoint_test(lambda body: server.client.post("/invocations", json=body).json(), bundle) == []


def test_it_says_what_it_was_told(server: Server) -> None:
    told = server.client.get("/ping", headers={"Accept": "application/json"}).json()
    model, serving = told["model"], told["serving"]
    assert (model["name"], model["release"]) == ("replies", "r7")
    assert serving == {"log_text": "hash", "max_cached": 9, "workers": 1, "cache_namespace": model["bundle_digest"]}
    server.client.post("/invocations", json={"instances": [{"text": "a"}]})
    assert 'cohort="challenger",model="replies",release="r7",status="200"' in server.client.get("/metrics").text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["text", "headers", "instances", "id"]) | st.text(max_size=5), inner)
    ),
    max_leaves=12,
)
mail = st.text(
    st.sampled_from("> \n\r\t-_:@<>aOnwrote0123\0\u200b\u202e\ufeff年🙂\U0010ffff") | st.characters(exclude_categories=["Cs"]), max_size=200
)
messages = st.fixed_dictionaries(
    {"text": mail | values},
    optional={"headers": st.none() | st.dictionaries(st.text(max_size=8), mail | values, max_size=3) | values, "id": values, "x": values},
)
right = st.lists(messages, max_size=5).map(lambda found: json.dumps({"instances": found}).encode())


@st.composite
def mutated(draw: Callable[[Any], Any]) -> bytes:
    """A nearly right body: cut, doubled, or with bytes changed."""
    body = bytearray(draw(right))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\\ud800", b"\xff", b"NaN", b"1e999", b"[" * 2000])
        )
    return bytes(body)


bodies = right | mutated() | values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=300)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies)
def test_no_body_makes_it_fail(server: Server, body: bytes) -> None:
    found = server.client.post("/invocations", content=body, headers=JSON)
    assert found.status_code in (200, 400, 413, 422)
    if found.status_code != 200:
        assert found.headers["content-type"] == "application/problem+json"
        assert found.json()["detail"]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
    path=st.sampled_from(["/", "/ping", "/invocations", "/metrics", "/invocations/", "/%00", "/%ff%fe", "/../ping", "/ping?x=%00"]),
    content_type=st.sampled_from(["application/json", "application/json; charset=utf-16", "text/csv", "", ";", "a" * 3000]),
    cohort=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
)
def test_no_request_line_or_header_makes_it_fail(server: Server, method: str, path: str, content_type: str, cohort: str) -> None:
    headers = {"Content-Type": content_type, "X-Headgate-Cohort": cohort, "X-Headgate-Cache": cohort}
    assert server.client.request(method, path, headers=headers).status_code < 500


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"\x00" * 1000,
    ],
)
def test_no_broken_connection_makes_it_fail(server: Server, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        try:
            opened.sendall(sent)
            opened.shutdown(socket.SHUT_WR)
            found = opened.recv(1000)
        except OSError:
            found = b""
    assert b" 500 " not in found.split(b"\r\n")[0] + b" "
    assert answers(server)


@pytest.mark.parametrize("unit", [" ", "\n", "> ", "On 1 2 a@b wrote:\n", "From: a\n", "🙂", "a", "\0", "é" * 10 + " "])
def test_a_huge_text_is_answered(server: Server, unit: str) -> None:
    text = unit * (400_000 // len(unit.encode()))
    found = server.client.post("/invocations", json={"instances": [{"text": text, "headers": {"Subject": text}}]})
    assert found.status_code == 200
    assert found.json()["predictions"][0]["outcome"] in ("scored", "abstained", "skipped")


def test_many_clients_at_once_each_get_their_own_answer(server: Server) -> None:
    texts = [f"offer number {number} " * (number % 30 + 1) for number in range(60)]

    def ask(text: str) -> dict[str, float]:
        body = {"instances": [{"text": text}]}
        found = httpx.post(
            f"{server.client.base_url}/invocations", json=body, headers={"X-Headgate-Cache": "off"}, timeout=60, trust_env=False
        )
        scores: dict[str, float] = found.json()["predictions"][0]["scores"]
        return scores

    alone = [ask(text) for text in texts]
    together: dict[int, dict[str, float]] = {}
    threads = [threading.Thread(target=lambda n=n: together.update({n: ask(texts[n])})) for n in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(together[number] == pytest.approx(scores, abs=1e-5) for number, scores in enumerate(alone))


def test_sigterm_answers_what_is_in_flight_and_writes_the_log(bundle: Path, tmp_path: Path) -> None:
    server = start(bundle, "--log-dir", str(tmp_path))
    body = {"instances": [{"text": f"{number} " + "a long story " * 1_400} for number in range(200)]}
    found: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: found.append(server.client.post("/invocations", json=body)))
    thread.start()
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    thread.join()
    assert server.process.wait(60) == 0
    assert found[0].status_code == 200
    assert len([line for file in tmp_path.iterdir() for line in file.read_text().splitlines()]) == 200


def fails_never(server: Server, seconds: float, meanwhile: Callable[[], None], clients: int = 8) -> tuple[int, list[str]]:
    """Clients that ask all the time, on kept connections: how often they were answered, and what went wrong."""
    failed: list[str] = []
    answered = [0] * clients
    end = time.monotonic() + seconds

    def ask(number: int) -> None:
        with httpx.Client(base_url=server.client.base_url, timeout=60, trust_env=False) as client:
            while time.monotonic() < end:
                body = {"instances": [{"text": f"client {number} asks for the {answered[number] % 50}th time"}]}
                try:
                    found = client.post("/invocations", json=body)
                    assert found.status_code == 200, found.text
                    answered[number] += 1
                except httpx.ConnectError:
                    return
                except (httpx.HTTPError, AssertionError) as fault:
                    failed.append(repr(fault))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    meanwhile()
    for thread in threads:
        thread.join()
    return sum(answered), failed


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_stopped_under_load_loses_no_request(bundle: Path, tmp_path: Path, workers: str) -> None:
    server = start(bundle, "--workers", workers, "--log-dir", str(tmp_path))

    def stop_it() -> None:
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)

    answered, failed = fails_never(server, 20, stop_it)
    assert server.process.wait(60) == 0
    assert failed == []
    assert answered > 50
    assert len([line for file in tmp_path.glob("*.jsonl") for line in file.read_text().splitlines()]) == answered


def workers_of(server: Server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


@pytest.fixture(scope="module")
def pair(bundle: Path) -> Iterator[Server]:
    running = start(bundle, "--workers", "2")
    yield running
    assert stop(running) == 0


def test_workers_share_the_port_and_show_one_sum(pair: Server) -> None:
    assert len(workers_of(pair)) == 2
    identifiers = set()
    for number in range(30):
        with httpx.Client(base_url=pair.client.base_url, trust_env=False) as client:
            found = client.post("/invocations", json={"text": f"number {number}"}).json()
            identifiers.add(found["predictions"][0]["prediction_id"])
    assert len(identifiers) == 30
    deadline = time.monotonic() + 10
    while 'status="200"} 30.0' not in pair.client.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_worker_costs_its_own_requests_only_and_comes_back(pair: Server) -> None:
    before = workers_of(pair)

    def kill_one() -> None:
        time.sleep(1)
        os.kill(before[0], signal.SIGKILL)

    answered, failed = fails_never(pair, 5, kill_one)
    assert len(failed) <= 8, failed
    assert answered > 100
    deadline = time.monotonic() + 20
    while len(workers_of(pair)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert before[0] not in workers_of(pair)
    shown = pair.client.get("/metrics").text
    total = sum(float(line.split()[-1]) for line in shown.splitlines() if line.startswith("headgate_requests_total"))
    assert total >= answered * 0.5


def test_a_worker_that_is_told_to_end_alone_is_followed_by_one_that_lets_everybody_in(pair: Server) -> None:
    before = workers_of(pair)
    os.kill(before[0], signal.SIGTERM)
    deadline = time.monotonic() + 40
    while before[0] in (now := workers_of(pair)) or len(now) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(3)
    for _ in range(20):
        assert httpx.get(f"http://127.0.0.1:{pair.port}/ping", trust_env=False, timeout=10).is_success


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except OSError:
        return False


def test_workers_end_when_their_supervisor_is_killed(bundle: Path) -> None:
    server = start(bundle, "--workers", "2")
    pids = workers_of(server)
    server.client.close()
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + 20
    while any(runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_server_without_workers_outlives_the_shell_that_started_it(bundle: Path) -> None:
    script = " ".join(command(bundle, "--port", "0")) + " & echo $!"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert shell.stdout
    assert shell.stderr
    pid = int(shell.stdout.readline())
    try:
        said = shell.stderr.readline()
        shell.wait(10)
        time.sleep(1.5)
        port = int(said.split("http://127.0.0.1:")[1].split(",")[0])
        assert httpx.get(f"http://127.0.0.1:{port}/ping", trust_env=False).is_success
    finally:
        os.kill(pid, signal.SIGTERM)


def test_sighup_changes_nothing(pair: Server) -> None:
    for pid in (pair.process.pid, *workers_of(pair)):
        os.kill(pid, signal.SIGHUP)
    assert answers(pair)


def test_its_log_is_json_without_texts(bundle: Path) -> None:
    server = start(bundle)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    server.client.post("/invocations", json={"instances": [{"words": "my secret words"}]}, headers={"traceparent": trace})
    server.client.close()
    server.process.terminate()
    _, said = server.process.communicate(timeout=60)
    assert "secret" not in said
    line, *others = (json.loads(line) for line in said.splitlines())
    assert (line["level"], line["method"], line["path"], line["status"], line["traceparent"]) == (
        "info",
        "POST",
        "/invocations",
        422,
        trace,
    )
    assert [(line["level"], line["message"]) for line in others] == [("info", "draining"), ("info", "stopped, 2 answered, 0 given up")]


def test_refusals_that_are_not_told_are_counted(bundle: Path) -> None:
    server = start(bundle)
    for _ in range(200):
        assert server.client.get("/nothing").status_code == 404
    server.client.close()
    server.process.terminate()
    _, said = server.process.communicate(timeout=60)
    lines = [json.loads(line)["message"] for line in said.splitlines()]
    assert lines.count("refused") + sum(int(line.split()[0]) for line in lines if line.endswith(" more refusals were not told")) == 200


def line_with(server: Server, part: str) -> str:
    """The next line of its log that has a part in it."""
    assert server.process.stderr
    return next(line for line in server.process.stderr if part in line)


def test_nobody_waits_for_a_worker_that_cannot_start_again(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    server = start(copy, "--workers", "2")
    line_with(server, "serving bundle")
    labels = (copy / "labels.json").read_bytes()
    (copy / "labels.json").write_bytes(labels + b" ")
    os.kill(workers_of(server)[0], signal.SIGKILL)
    line_with(server, "could not start")
    time.sleep(0.5)
    for _ in range(30):
        assert httpx.get(f"{server.client.base_url}/livez", timeout=10, trust_env=False).status_code == 200
    (copy / "labels.json").write_bytes(labels)
    line_with(server, "serving bundle")
    for _ in range(30):
        assert httpx.get(f"{server.client.base_url}/livez", timeout=10, trust_env=False).status_code == 200
    assert stop(server) == 0


def test_a_server_whose_workers_cannot_start_says_so_once(tmp_path: Path) -> None:
    status, said = ended(command(tmp_path, "--port", "0", "--workers", "2"))
    assert (status, said) == (1, f"headgate serving: {tmp_path} is not a bundle: it has no bundle.json\n")


def test_sagemakers_argument_is_understood(bundle: Path) -> None:
    server = start(bundle, "serve")
    assert answers(server)
    assert stop(server) == 0


def test_headgate_serve_is_the_same_and_as_quick(bundle: Path) -> None:
    heavy = "typer", "pydantic", "click"
    program = (
        "import sys; sys.argv = ['headgate', 'serve', '--help']; import headgate.__main__ as m\ntry: m.main()\nexcept SystemExit: pass\n"
    )
    program += f"print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: headgate serve ")
    assert done.stdout.endswith("[]\n")


def ended(arguments: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_touched_bundle_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text('{"format_version": 9}')
    status, said = ended(command(tmp_path, "--port", "0"))
    assert status == 1
    assert said.startswith(f"headgate serving: {tmp_path}: expected format_version 1")
    assert said.endswith(", found 9; use the headgate that wrote it\n")


def test_a_taken_port_is_named(server: Server, bundle: Path) -> None:
    status, said = ended(command(bundle, "--port", str(server.port)))
    assert status == 1
    assert said.startswith(f"headgate serving: port {server.port} on 127.0.0.1 cannot be taken (")
    assert said.endswith("stop what holds it or choose another with --port\n")


@pytest.mark.parametrize("options", [("--port", "70000"), ("--host", "no such host")])
def test_an_impossible_address_is_named(bundle: Path, options: tuple[str, str]) -> None:
    status, said = ended(command(bundle, *options))
    assert status == 1
    assert said.startswith("headgate serving: ")


def test_a_host_that_is_not_this_machine_is_named(bundle: Path) -> None:
    assert ended(command(bundle, "--host", "192.0.2.1")) == (
        1,
        "headgate serving: expected --host to be an address of this machine, found '192.0.2.1'; 0.0.0.0 is all that it has\n",
    )


def test_less_than_one_thread_is_refused(bundle: Path) -> None:
    assert ended(command(bundle, "--threads", "0")) == (1, "headgate serving: expected at least one thread, found 0\n")


def test_a_log_folder_that_cannot_be_written_ends_a_server_before_it_serves(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder, fault in ((file, "File exists"), (file / "below", "Not a directory"), (Path("/proc/nope"), "No such file or directory")):
        assert ended(command(bundle, "--port", "0", "--log-dir", str(folder))) == (
            1,
            f"headgate serving: expected --log-dir to be a folder that can be written, found {folder} ({fault}); "
            "mend its rights or choose another\n",
        )


def test_serving_imports_no_training_library() -> None:
    heavy = "torch", "transformers", "sklearn", "pandas", "mlflow", "pydantic", "typer", "onnx"
    program = f"import sys, headgate.serving.server; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"
