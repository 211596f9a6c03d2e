"""Whatever bytes and bodies come: never a 5xx, never a crash, no growth."""

import json
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from test_server import Server, answers, start, stop

CONFORMANCE = [not_a_server_error, content_type_conformance, response_schema_conformance]
CHECKS = {
    schemathesis.GenerationMode.POSITIVE: [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ],
    schemathesis.GenerationMode.NEGATIVE: [not_a_server_error, content_type_conformance, response_schema_conformance],
}


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start(bundle, "--log-dir", str(tmp_path_factory.mktemp("log")))
    yield running
    assert stop(running) == 0


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_it_answers_as_its_document_says(server: Server, mode: schemathesis.GenerationMode) -> None:
    document = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    for found in document.get_all_operations():
        operation = found.ok()

        @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS[mode])

        with suppress(Unsatisfiable):  # an operation without parameters has no wrong ones
            check()


def pieces() -> st.SearchStrategy[bytes]:
    return st.sampled_from(
        [
            b"GET /ping HTTP/1.1\r\n",
            b"POST /invocations HTTP/1.1\r\n",
            b"POST /feedback HTTP/1.0\r\n",
            b"Host: x\r\n",
            b"Content-Type: application/json\r\n",
            b"Content-Type: text/csv\r\n",
            b"Content-Length: 10\r\n",
            b"Content-Length: 0\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
            b"Expect: 100-continue\r\n",
            b"X-Headgate-Cohort: \xff\r\n",
            b"traceparent: 00-\xff\r\n",
            b"\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b'{"text": 1}',
            b'"a"\n"b"\n',
        ]
    )


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=st.lists(st.binary(max_size=60) | pieces(), max_size=12).map(b"".join))
def test_no_bytes_make_it_fail(server: Server, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        found = b""
        try:
            opened.sendall(sent)
            opened.shutdown(socket.SHUT_WR)
            while part := opened.recv(65_536):
                found += part
        except ConnectionResetError:
            pass
    assert b"HTTP/1.1 5" not in found.replace(b"HTTP/1.1 503", b"")


def mutated(random_: random.Random) -> bytes:
    """A right body in which some bytes were changed, cut, doubled or put in."""
    text = "".join(random_.choice("abc \n>:-_äé🙂\u202e\x00") for _ in range(random_.randrange(60)))
    shapes: list[Any] = [
        {"instances": [{"text": text, "headers": {"Subject": text}}, {"raw": f"Subject: {text}\n\n{text}"}]},
        {"inputs": [text, {"text": text}]},
        {"dataframe_split": {"columns": ["text", "id"], "data": [[text, "1"]]}},
        {"raw": f"From: a\nContent-Type: multipart/mixed; boundary={text[:5]}\n\n--{text[:5]}\n{text}"},
    ]
    body = bytearray(json.dumps(random_.choice(shapes)).encode())
    for _ in range(random_.randrange(6)):
        at = random_.randrange(len(body) + 1)
        put = random_.choice(
            [random_.randbytes(random_.randrange(4)), bytes(body[at : at + 9]), b"\\ud800", b"NaN", b"[" * 500, b'"', b"\xff"]
        )
        body[at : at + random_.randrange(4)] = put
    return bytes(body)


def resident(pid: int) -> int:
    """Kilobytes."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_10_000_mutated_bodies_make_no_5xx_and_no_growth(server: Server) -> None:
    random_ = random.Random(7)
    kinds = ["application/json", "application/jsonlines", "text/csv", "text/plain"]
    sizes = []
    for number in range(10_000):
        kind = kinds[0] if number % 3 else random_.choice(kinds)
        found = server.client.post("/invocations", content=mutated(random_), headers={"Content-Type": kind, "X-Headgate-Cache": "off"})
        assert found.status_code in (200, 400, 413, 422), found.text
        if number % 1_000 == 999:
            sizes.append(resident(server.process.pid))
    assert answers(server)
    assert max(sizes[2:]) < sizes[1] * 1.02, sizes
