"""SageMaker's container contract, kept by the real image: run as SageMaker runs it, and asked from its own network.

The contract: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from image_engine import Engine

from headgate.model.bundle import open_bundle

pytestmark = [pytest.mark.image, pytest.mark.timeout(1200)]

ACCEPT_S, PING_S, ANSWER_S, KILL_S = 0.25, 2.0, 60.0, 30.0
ASK = """
import json, socket, sys, threading, time
from http.client import HTTPConnection

def ask(method, path, body=None, headers={}, timeout=60):
    began = time.monotonic()
    client = HTTPConnection("127.0.0.1", 8080, timeout=timeout)
    client.request(method, path, body, headers)
    answer = client.getresponse()
    found = {"status": answer.status, "body": answer.read().decode(), "took_s": time.monotonic() - began}
    client.close()
    return found

def ping():
    deadline = time.monotonic() + 240
    while True:
        try:
            return ask("GET", "/ping", timeout=2)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
"""
CONTRACT = """
first = ping()
many = json.dumps({"instances": [{"text": f"please remove me, {n}"} for n in range(256)]})
attributes = {"Content-Type": "application/json", "X-Amzn-SageMaker-Custom-Attributes": "a=b", "X-Amzn-SageMaker-Inference-Id": "i1"}
one = ask("POST", "/invocations", json.dumps({"instances": [{"text": "stop"}]}), attributes)
answers, busy = [], True
def load():
    while busy:
        answers.append(ask("POST", "/invocations", many, {"Content-Type": "application/json", "X-Headgate-Cache": "off"}))
threads = [threading.Thread(target=load) for _ in range(4)]
[thread.start() for thread in threads]
accepted, pings = [], []
for _ in range(40):
    began = time.monotonic()
    socket.create_connection(("127.0.0.1", 8080), timeout=5).close()
    accepted.append(time.monotonic() - began)
    pings.append(ask("GET", "/ping")["took_s"])
busy = False
[thread.join() for thread in threads]
print(json.dumps({
    "ping": first, "one": one, "accepted_s": max(accepted), "ping_s": max(pings), "answered": len(answers),
    "statuses": sorted({answer["status"] for answer in answers}), "answer_s": max(answer["took_s"] for answer in answers),
}))
"""
UNDER_WAY = """
ping()
body = json.dumps({"instances": [{"text": "stop"}]}).encode()
head = b"POST /invocations HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
client = socket.create_connection(("127.0.0.1", 8080))
client.sendall(head + body[:10])
print("half", flush=True)
sys.stdin.readline()
client.sendall(body[10:])
print(client.makefile("rb").read().decode().splitlines()[0], flush=True)
"""


@pytest.fixture(scope="module")
def laid_out(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as model.tar.gz, unpacked by who is root."""
    folder = tmp_path_factory.mktemp("sagemaker")
    archive = shutil.make_archive(str(folder / "model"), "gztar", bundle)
    shutil.unpack_archive(archive, folder / "model")
    return folder / "model"


@contextmanager
def in_sagemaker(engine: Engine, image: str, model: Path | None, **environment: str) -> Iterator[str]:
    """`docker run IMAGE serve` with what SageMaker gives: the model to read, variables, no option and no other argument."""
    given = [f"--env={name}={value}" for name, value in environment.items()]
    files = [f"--volume={model}:/opt/ml/model:ro"] if model else []
    with engine.running(image, "serve", options=["--network=none", *files, *given]) as container:
        yield container


def beside(engine: Engine, container: str, image: str) -> list[str]:
    """The command of a Python that shares the container's network, and outlives it."""
    return [engine.run, "run", "--rm", "--interactive", f"--network=container:{container}", "--entrypoint=python", image, "-c"]


def asked(engine: Engine, container: str, image: str, script: str) -> dict[str, Any]:
    done = engine.call(*beside(engine, container, image), ASK + script)
    assert done.returncode == 0, done.stderr + engine.call(engine.run, "logs", container).stderr
    return dict(json.loads(done.stdout))


def test_it_keeps_the_contract_on_what_sagemaker_unpacked(engine: Engine, root_image: str, laid_out: Path, bundle: Path) -> None:
    digest = open_bundle(bundle).digest
    with in_sagemaker(engine, root_image, laid_out, HEADGATE_SERVE_MODEL="replies", HEADGATE_SERVE_RELEASE="r7") as container:
        found = asked(engine, container, root_image, CONTRACT)
        written = engine.call(engine.run, "exec", container, "python", "-c", "open('/opt/ml/model/x', 'w')")
    assert (found["ping"]["status"], found["ping"]["body"]) == (200, "")
    assert found["one"]["status"] == 200
    model = json.loads(found["one"]["body"])["model"]
    assert (model["bundle_digest"], model["name"], model["release"]) == (digest, "replies", "r7")
    assert found["accepted_s"] < ACCEPT_S
    assert found["ping_s"] < PING_S
    assert (found["statuses"], found["answer_s"] < ANSWER_S) == ([200], True)
    assert found["answered"] >= 4
    assert "Read-only file system" in written.stderr


def test_its_own_bundle_is_served_where_the_model_has_no_data(engine: Engine, root_image: str, bundle: Path) -> None:
    with in_sagemaker(engine, root_image, None) as container:
        found = asked(
            engine, container, root_image, "ping(); print(json.dumps(ask('GET', '/ping', headers={'Accept': 'application/json'})))"
        )
    assert json.loads(found["body"])["model"]["bundle_digest"] == open_bundle(bundle).digest


def test_told_to_end_it_answers_what_is_under_way_and_ends_before_it_is_killed(engine: Engine, root_image: str, laid_out: Path) -> None:
    with in_sagemaker(engine, root_image, laid_out) as container:
        command = [*beside(engine, container, root_image), ASK + UNDER_WAY]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | engine.environment
        ) as client:
            assert client.stdin
            assert client.stdout
            assert client.stdout.readline() == "half\n"
            began = time.monotonic()
            engine.told("kill", "--signal=TERM", container)
            assert "draining" in wait_for_log(engine, container, "draining")
            client.stdin.write("\n")
            client.stdin.flush()
            assert client.stdout.readline() == "HTTP/1.1 200 OK\n"
            assert engine.told("wait", container) == "0"
            assert time.monotonic() - began < KILL_S
        assert "0 given up" in engine.call(engine.run, "logs", container).stderr


def test_a_client_that_never_finishes_does_not_keep_it_until_it_is_killed(engine: Engine, root_image: str, laid_out: Path) -> None:
    with in_sagemaker(engine, root_image, laid_out) as container:
        command = [*beside(engine, container, root_image), ASK + UNDER_WAY]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | engine.environment
        ) as client:
            assert client.stdout
            assert client.stdout.readline() == "half\n"
            began = time.monotonic()
            engine.told("kill", "--signal=TERM", container)
            assert engine.told("wait", container) == "0"
            assert time.monotonic() - began < KILL_S


def test_a_model_that_was_touched_and_one_that_is_not_at_the_top_are_not_served(
    engine: Engine, root_image: str, laid_out: Path, tmp_path: Path
) -> None:
    touched = Path(shutil.copytree(laid_out, tmp_path / "touched"))
    (touched / "labels.json").write_text("[]")
    shutil.copytree(laid_out, tmp_path / "deep" / "bundle")
    told = {
        touched: "labels.json is changed: its sha256 is not the listed one",
        tmp_path
        / "deep": "/opt/ml/model: expected bundle.json at the top of model.tar.gz, found bundle; pack what is in the bundle's folder",
    }
    for model, fault in told.items():
        done = engine.call(engine.run, "run", "--rm", "--network=none", f"--volume={model}:/opt/ml/model:ro", root_image, "serve")
        assert (done.returncode, fault in done.stderr) == (1, True), done.stderr


def wait_for_log(engine: Engine, container: str, text: str) -> str:
    deadline = time.monotonic() + KILL_S
    while text not in (found := engine.call(engine.run, "logs", container).stderr) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found
