"""HTTP/1.1 as it is spoken on a socket: order, limits, slow clients, and the end of a server."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from served import FakeRuntime, listening

BODY = b'{"instances": [{"text": "%b"}]}'


def post(text: bytes = b"yes", *headers: bytes, version: bytes = b"1.1") -> bytes:
    body = BODY % text
    lines = [
        b"POST /invocations HTTP/" + version,
        b"Host: x",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


def get(path: bytes, *headers: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/" + version, b"Host: x", *headers, b"", b""])


@contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as opened:
        yield opened


def said(opened: socket.socket) -> bytes:
    """All that the server says until it closes the connection."""
    found = b""
    while part := opened.recv(65_536):
        found += part
    return found


def talk(port: int, sent: bytes) -> bytes:
    """What the server says to bytes behind which nothing comes."""
    with connection(port) as opened:
        opened.sendall(sent)
        opened.shutdown(socket.SHUT_WR)
        return said(opened)


def statuses(found: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", found)]


@pytest.fixture(scope="module")
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture(scope="module")
def port(runtime: FakeRuntime) -> Iterator[int]:
    settings: dict[str, Any] = {"max_body_bytes": 2_000, "max_head_bytes": 4_000, "drain_idle_s": 0.2}
    with listening(runtime, **settings) as found:
        yield found


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    sent = b"".join([post(b"a"), get(b"/livez"), post(b"b"), get(b"/nothing"), post(b"a")])
    assert statuses(talk(port, sent)) == [200, 200, 200, 404, 200]


def test_many_pipelined_requests_are_all_answered(port: int) -> None:
    sent = b"".join(post(b"%d" % number) for number in range(500))
    assert statuses(talk(port, sent)) == [200] * 500


def test_bytes_may_come_one_by_one(port: int) -> None:
    with connection(port) as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(b"yes", b"Connection: close"):
            opened.sendall(bytes([byte]))
        assert statuses(said(opened)) == [200]


def test_a_chunked_body_is_read(port: int) -> None:
    body = BODY % b"yes"
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[at : at + 1]) for at in range(len(body)))
    assert statuses(talk(port, head + chunks + b"0\r\n\r\n" + get(b"/ping"))) == [200, 200]


def test_a_chunked_body_that_grows_too_large_is_refused(port: int) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(talk(port, head + b"3e8\r\n%b\r\n" % (b" " * 1_000) * 3)) in ([413], [400])


def test_a_body_said_to_be_too_large_is_refused_before_it_comes(port: int) -> None:
    with connection(port) as opened:
        opened.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\nExpect: 100-continue\r\n\r\n")
        found = said(opened)
    assert statuses(found) == [413]
    assert b"Connection: close" in found
    assert b"expected a body of at most 2000 bytes, found 2001 bytes" in found


def test_a_client_that_waits_to_be_asked_is_asked(port: int) -> None:
    request = post(b"yes", b"Expect: 100-continue", b"Connection: close")
    head, body = request.split(b"\r\n\r\n")
    with connection(port) as opened:
        opened.sendall(head + b"\r\n\r\n")
        assert opened.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        opened.sendall(body)
        assert statuses(said(opened)) == [200]
    assert statuses(talk(port, post(b"yes", b"Expect: miracles"))) == [417]


def test_head_is_get_without_the_body(port: int) -> None:
    found = talk(port, get(b"/ping", method=b"HEAD"))
    assert statuses(found) == [200]
    assert b"Content-Length: " in found
    assert found.endswith(b"\r\n\r\n")


def test_http_1_0_closes_unless_asked_to_keep_alive(port: int) -> None:
    with connection(port) as opened:
        opened.sendall(get(b"/livez", version=b"1.0"))
        assert b"Connection: close" in said(opened)
    with connection(port) as opened:
        opened.sendall(get(b"/livez", b"Connection: keep-alive", version=b"1.0"))
        assert b"Connection: keep-alive" in opened.recv(1_000)
        opened.sendall(post(b"yes", version=b"1.0"))
        assert statuses(said(opened)) == [200]


def test_a_request_to_upgrade_is_answered_in_http_1_1(port: int) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
    assert statuses(talk(port, get(b"/livez", *upgrade))) == [200]
    assert statuses(talk(port, post(b"yes", *upgrade))) == [200]


@pytest.mark.parametrize(
    "headers", [[b"X: " + b"a" * 5_000], [b"X-%d: a" % number for number in range(120)], [b"X-%d: aaaaaaaaaaaa" % n for n in range(9_000)]]
)
def test_too_large_a_head_is_refused(port: int, headers: list[bytes]) -> None:
    assert statuses(talk(port, get(b"/livez", *headers))) == [431]


def test_a_head_that_never_ends_is_refused(port: int) -> None:
    with connection(port) as opened:
        opened.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"a" * 5_000)
        assert statuses(said(opened)) == [431]


def test_what_is_not_http_is_refused(port: int) -> None:
    assert statuses(talk(port, b"\x16\x03\x01\x02\x00\x01\x00")) == [400]
    assert statuses(talk(port, post(b"yes") + b"nonsense\r\n\r\n")) == [200, 400]


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"Content-Length: -5", b"Invalid character in Content-Length"),
        (b"Transfer-Encoding: chunked\r\n\r\nZZ", b"Invalid character in chunk size"),
    ],
)
def test_a_fault_in_the_length_of_a_body_is_named(port: int, head: bytes, fault: bytes) -> None:
    found = talk(port, b"POST /invocations HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
    assert statuses(found) == [400]
    assert b'"detail":"expected HTTP/1.1, found something else: %b"' % fault in found


def test_a_target_may_name_this_server(port: int) -> None:
    assert statuses(talk(port, get(b"http://x/livez") + get(b"HTTP://x:80/livez?a=b") + get(b"http://x"))) == [200, 200, 404]


def test_http_1_1_needs_to_name_its_host(port: int) -> None:
    found = talk(port, b"GET /livez HTTP/1.1\r\n\r\n")
    assert statuses(found) == [400]
    assert b'"detail":"expected the header Host, as HTTP/1.1 has it, found none"' in found
    assert statuses(talk(port, b"GET /livez HTTP/1.0\r\n\r\n")) == [200]


def test_a_fault_in_the_head_is_told_after_earlier_answers(port: int) -> None:
    too_large = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    assert statuses(talk(port, post(b"one more") + too_large)) == [200, 413]


def test_unknown_methods_are_told_what_is_allowed(port: int) -> None:
    found = talk(port, get(b"/ping", method=b"DELETE"))
    assert statuses(found) == [405]
    assert b"Allow: GET, HEAD\r\n" in found


def test_slow_clients_are_told_and_left() -> None:
    limits: dict[str, Any] = {"head_timeout_s": 0.1, "body_timeout_s": 0.1, "keep_alive_s": 0.1}
    with listening(FakeRuntime(), **limits) as port, connection(port) as head, connection(port) as body, connection(port) as idle:
        head.sendall(b"GET /livez HTTP/1.1\r\nHos")
        body.sendall(post(b"yes")[:-3])
        assert b"expected the whole head within 0.1 s" in said(head)
        assert b"expected the whole body within 0.1 s, found 29 bytes" in said(body)
        assert said(idle) == b""


def test_a_client_that_does_not_read_is_left_and_the_others_are_answered() -> None:
    with listening(FakeRuntime(), write_timeout_s=0.1) as port, connection(port) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.settimeout(5)
        with pytest.raises(OSError):  # noqa: PT011  # reset or timeout: the system's choice
            deaf.sendall(post(b"yes") * 500_000)
        assert statuses(talk(port, get(b"/livez"))) == [200]


def test_a_client_that_goes_away_costs_no_scoring() -> None:
    runtime = FakeRuntime()
    with listening(runtime) as port:
        runtime.go.clear()
        with connection(port) as first, connection(port) as second:
            first.sendall(post(b"first"))
            while not runtime.asked:
                time.sleep(0.001)
            second.sendall(post(b"second"))
            time.sleep(0.1)
            second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            second.close()
            time.sleep(0.1)
            runtime.go.set()
            assert statuses(first.recv(10_000)) == [200]
        assert statuses(talk(port, post(b"third"))) == [200]
    assert runtime.asked == [["first"], ["third"]]


def test_a_server_that_ends_answers_what_it_was_asked_and_says_that_it_closes() -> None:
    runtime = FakeRuntime()
    with listening(runtime, drain_idle_s=1.0) as port:
        busy, idle = socket.create_connection(("127.0.0.1", port), timeout=20), socket.create_connection(("127.0.0.1", port), timeout=20)
        idle.sendall(get(b"/livez"))
        assert statuses(idle.recv(1_000)) == [200]
        runtime.go.clear()
        busy.sendall(post(b"one") + post(b"two"))
        while not runtime.asked:
            time.sleep(0.001)
        found: list[bytes] = []

        def meanwhile() -> None:
            time.sleep(0.3)
            idle.sendall(get(b"/readyz"))
            found.append(said(idle))
            runtime.go.set()
            found.append(said(busy))

        thread = threading.Thread(target=meanwhile)
        thread.start()
    thread.join()
    assert (statuses(found[0]), b"Connection: close" in found[0]) == ([503], True)
    assert statuses(found[1]) == [200, 200]
    assert found[1].count(b"Connection: close") == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    idle.close()
    busy.close()


def test_what_takes_longer_than_draining_may_is_given_up() -> None:
    runtime = FakeRuntime()
    began = time.monotonic()
    with listening(runtime, drain_s=0.3) as port:
        runtime.go.clear()
        opened = socket.create_connection(("127.0.0.1", port), timeout=20)
        opened.sendall(post(b"one"))
        while not runtime.asked:
            time.sleep(0.001)
        threading.Timer(1.0, runtime.go.set).start()
    assert time.monotonic() - began < 10
    with suppress(ConnectionResetError):
        assert opened.recv(1_000) == b""
    opened.close()
