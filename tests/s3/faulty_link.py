"""A link to an S3 server that fails on command: `python faulty_link.py HOST PORT`.

It prints its own port, then obeys one JSON line at a time on standard input and answers each with one line. Requests are relayed one by
one over connections of their own, so that a fault hits exactly the request that it names. Its own process, since delta-rs may hold the
interpreter's lock of the process that waits.
"""

import json
import re
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
HEAD_END = b"\r\n\r\n"


@dataclass
class Fault:
    """What happens to the next `times` requests whose line (`PUT /bucket/key HTTP/1.1`) matches, after `skip` that pass.

    kinds: delay (relay after delay_s); reset (RST, never relayed); cut (half of the answer, then RST); swallow (relayed, then RST
    instead of the answer); mute (relayed, never answered); hold (neither); slow_down (503, never relayed); late_error (relayed, then 500).
    """

    kind: str
    line: str = "."
    times: int = 1
    skip: int = 0
    delay_s: float = 0.0


@dataclass
class Link:
    """Relays to one server; `faults` are tried in order."""

    host: str
    port: int
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    begun: int = 0
    hit: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_for(self, line: str) -> Fault | None:
        with self.lock:
            self.seen.append(line)
            for fault in self.faults:
                if fault.times and re.search(fault.line, line):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    self.begun += 1
                    return fault
        return None

    def serve(self, client: socket.socket) -> None:
        """Every request of one client's connection."""
        with client:
            rest = b""
            while (request := read_message(client, rest)) is not None:
                message, rest = request
                message = re.sub(rb"^([A-Z]+) http://[^/]+", rb"\1 ", message, count=1)  # as a proxy is asked
                line = message.split(b"\r\n", 1)[0].decode("latin-1")
                if not self.answer(client, line, message):
                    return

    def answer(self, client: socket.socket, line: str, message: bytes) -> bool:
        """Relay one request, or fail it; whether the connection goes on."""
        fault = self.fault_for(line)
        kind = fault.kind if fault else "none"
        if fault and fault.delay_s:
            threading.Event().wait(fault.delay_s)
        if kind == "reset":
            return reset(client)
        if kind == "slow_down":
            return send(client, status(503, SLOW_DOWN))
        if kind == "hold":
            return wait_for_end(client)
        try:
            answer = self.relay(message, head=line.startswith("HEAD "))
        except OSError:
            return reset(client)
        with self.lock:
            self.hit += bool(fault)
        if kind == "swallow":
            return reset(client)
        if kind == "mute":
            return wait_for_end(client)
        if kind == "late_error":
            return send(client, status(500, b"<Error><Code>InternalError</Code><Message>We encountered an error.</Message></Error>"))
        if kind == "cut":
            body = answer.index(HEAD_END) + len(HEAD_END)
            send(client, answer[: body + (len(answer) - body) // 2])
            return reset(client)
        return send(client, answer)

    def relay(self, message: bytes, head: bool) -> bytes:
        with socket.create_connection((self.host, self.port), timeout=60) as server:
            server.sendall(message)
            found = read_message(server, b"", bodiless=head)
        if found is None:
            raise ConnectionResetError("no answer")
        return found[0]


class LinkProcess:
    """The link as a test holds it."""

    def __init__(self, host: str, port: int) -> None:
        command = [sys.executable, __file__, host, str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def fail(self, kind: str, line: str = ".", **more: Any) -> None:
        """Let the next request whose line matches (or `times` of them, after `skip`) fail in this way."""
        self._order(do="fail", kind=kind, line=line, **more)

    def heal(self) -> None:
        """No faults any more, and nothing counted."""
        self._order(do="heal")

    def shut(self) -> None:
        """The outage begins."""
        self._order(do="shut")

    def open(self) -> None:
        """The outage ends."""
        self._order(do="open")

    def begun(self) -> int:
        """How many requests met a fault."""
        return int(self._order(do="tell")["begun"])

    def relayed(self) -> int:
        """How many of them reached the server all the same."""
        return int(self._order(do="tell")["relayed"])

    def seen(self) -> list[str]:
        """The lines of every request."""
        return list(self._order(do="tell")["seen"])

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _order(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def read_message(peer: socket.socket, data: bytes, bodiless: bool = False) -> tuple[bytes, bytes] | None:
    """One whole HTTP message, and what came after it; None if the peer ended."""
    while HEAD_END not in data:
        if not (more := _receive(peer)):
            return None
        data += more
    head, _, rest = data.partition(HEAD_END)
    names = head.lower()
    continues = b"expect: 100-continue" in names
    if continues:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = re.sub(rb"(?i)\r\nexpect: 100-continue", b"", head)
    if b"transfer-encoding: chunked" in names and not bodiless:
        end = b"0\r\n\r\n"
        while not rest.endswith(end):
            if not (more := _receive(peer)):
                return None
            rest += more
        return head + HEAD_END + rest, b""
    length = re.search(rb"content-length: *(\d+)", names)
    size = 0 if bodiless or not length else int(length[1])
    while len(rest) < size:
        if not (more := _receive(peer)):
            return None
        rest += more
    return head + HEAD_END + rest[:size], rest[size:]


def wait_for_end(peer: socket.socket) -> bool:
    """Until the peer gives up."""
    while _receive(peer):
        pass
    return False


def _receive(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except OSError:
        return b""


def send(peer: socket.socket, data: bytes) -> bool:
    try:
        peer.sendall(data)
    except OSError:
        return False
    return True


def reset(peer: socket.socket) -> bool:
    """Close with RST, not FIN."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    return False


def status(code: int, body: bytes) -> bytes:
    return f"HTTP/1.1 {code} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Door:
    """The listening socket, which an outage takes away: connections are refused, open ones reset."""

    def __init__(self, link: Link) -> None:
        self.link, self.port, self.clients = link, 0, []  # type: ignore[var-annotated]
        self.open()

    def open(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def shut(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for client in self.clients:
            if client.fileno() >= 0:
                reset(client)
        self.clients.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.clients.append(client)
            threading.Thread(target=self.link.serve, args=(client,), daemon=True).start()


def obey(door: Door, order: dict[str, Any]) -> Any:
    """One order: {"do": "fail", ...fault}, "heal", "shut", "open" or "tell"; answers how many faults began, how many after their relay."""
    link = door.link
    with link.lock:
        if order["do"] == "fail":
            link.faults.append(Fault(**{name: value for name, value in order.items() if name != "do"}))
        if order["do"] == "heal":
            link.faults.clear()
            link.begun = link.hit = 0
            link.seen.clear()
    if order["do"] == "shut":
        door.shut()
    if order["do"] == "open":
        door.open()
    return {"begun": link.begun, "relayed": link.hit, "seen": link.seen if order["do"] == "tell" else []}


def main() -> None:
    door = Door(Link(sys.argv[1], int(sys.argv[2])))
    sys.stdout.write(f"{door.port}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(obey(door, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
