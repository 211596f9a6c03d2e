"""Load at 80% of saturation while workers are killed at random, then without kills: every answer is checked against the bundle.

    python benchmarks/soak.py BUNDLE --seconds 1800 [--workers 2] [--json FILE]

The first half of the time workers are killed (SIGKILL); the second half measures how each worker's memory grows. Exit status 1: a wrong
answer, a failure that no kill explains, or growth of 2% and more.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headgate.model.runtime import Message, Runtime

CONNECTIONS = 16
TEXTS = 400
SATURATION_S = 5.0
SHARE = 0.8
KILL_EVERY_S = (4.0, 12.0)
SETTLED_SHARE = 0.4
MOST_GROWTH = 0.02
CLOSE_TO = 1e-4
PATIENCE_S = 30.0


@dataclass
class Tally:
    """What happened."""

    answered: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    kills: int = 0
    unexplained: int = 0
    killed_at: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Question:
    """A request as bytes, and the answer that the bundle gives."""

    sent: bytes
    label: str | None
    score: float | None


def questions(bundle: Path) -> list[Question]:
    """The bundle's own examples and variations of them, with the answers of the runtime."""
    examples = [json.loads(line)["input"]["text"] for line in (bundle / "examples.jsonl").read_text().splitlines()]
    texts = [f"{examples[number % len(examples)]} {number}" for number in range(TEXTS)]
    answers = Runtime.load(bundle).score([Message(text) for text in texts])
    return [Question(request(text, number), one.label, one.score) for number, (text, one) in enumerate(zip(texts, answers, strict=True))]


def request(text: str, number: int) -> bytes:
    """Every second one is scored anew."""
    body = json.dumps({"instances": [{"text": text}]}).encode()
    cache = b"X-Headgate-Cache: off\r\n" if number % 2 else b""
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (cache, len(body)) + body


class Client:
    """One kept connection that is opened again whenever it is lost."""

    def __init__(self, port: int, asked: Sequence[Question], tally: Tally) -> None:
        self._port, self._asked, self._tally = port, asked, tally
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        """Ask one question and check the answer; a lost connection is counted."""
        question = random.choice(self._asked)
        if self._streams and self._streams[0].at_eof():  # closed while it was idle: as any HTTP client, open another
            self._drop()
        try:
            reader, writer = self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(question.sent)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            body = await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as fault:
            self._lose(fault)
        else:
            self._check(question, head, body)
            if b"Connection: close" in head:
                self._drop()

    def _lose(self, fault: BaseException) -> None:
        self._drop()
        self._tally.lost += 1
        if not any(time.monotonic() - at < 1.0 for at in self._tally.killed_at) or isinstance(fault, TimeoutError):
            self._tally.unexplained += 1

    def _check(self, question: Question, head: bytes, body: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 200 "):
            self._tally.refused.append(f"{head[9:12].decode()} {body[:200].decode()}")
            return
        self._tally.answered += 1
        found = json.loads(body)["predictions"][0]
        close = found["score"] == question.score or abs(found["score"] - question.score) < CLOSE_TO
        if found["label"] != question.label or not close:
            self._tally.wrong.append(f"{found['label']} {found['score']}, expected {question.label} {question.score}")

    def _drop(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


async def load(clients: Sequence[Client], seconds: float, rate: float | None) -> None:
    """Ask for some seconds: at a rate, or as fast as answers come."""
    began, asked = time.monotonic(), 0

    async def keep_asking(client: Client) -> None:
        nonlocal asked
        while (now := time.monotonic()) - began < seconds:
            if rate is not None and asked > (now - began) * rate:
                await asyncio.sleep(0.001)
                continue
            asked += 1
            await client.ask()

    await asyncio.gather(*(keep_asking(client) for client in clients))


async def kill(workers: Callable[[], list[int]], tally: Tally) -> None:
    """Kill a worker at random, again and again, never the last one alive."""
    while True:
        await asyncio.sleep(random.uniform(*KILL_EVERY_S))
        if len(alive := workers()) > 1:
            tally.killed_at = [*tally.killed_at[-1:], time.monotonic()]
            tally.kills += 1
            os.kill(random.choice(alive), signal.SIGKILL)


async def watch(workers: Callable[[], list[int]], sizes: dict[int, list[int]]) -> None:
    """Note each worker's memory, in kilobytes, once a second."""
    while True:
        for pid in workers():
            sizes.setdefault(pid, []).append(int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]))
        await asyncio.sleep(1)


async def soak(port: int, asked: Sequence[Question], workers: Callable[[], list[int]], seconds: float) -> dict[str, Any]:
    """Saturate, then load with kills, then without; what happened, as numbers."""
    tally = Tally()
    clients = [Client(port, asked, tally) for _ in range(CONNECTIONS)]
    await load(clients, SATURATION_S, None)
    rate = tally.answered / SATURATION_S * SHARE
    killer = asyncio.create_task(kill(workers, tally))
    await load(clients, seconds / 2, rate)
    killer.cancel()
    sizes: dict[int, list[int]] = {}
    watcher = asyncio.create_task(watch(workers, sizes))
    await load(clients, seconds / 2, rate)
    watcher.cancel()
    growth = {pid: max(of[-3:]) / max(of[: max(3, int(len(of) * SETTLED_SHARE))]) - 1 for pid, of in sizes.items() if len(of) > 5}
    told = {name: value for name, value in asdict(tally).items() if name != "killed_at"}
    return told | {
        "rate": rate,
        "memory_mb": [max(of) / 1024 for of in sizes.values()],
        "growth": list(growth.values()),
        "most_growth": max(growth.values(), default=0.0),
    }


def main() -> int:
    """Start a server, soak it, and say what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    asked = questions(args.bundle)
    command = [sys.executable, "-m", "headgate.serving", str(args.bundle), "--port", "0", "--workers", str(args.workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        port = int(server.stderr.readline().split("http://127.0.0.1:")[1].split(",")[0])
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        try:
            found = asyncio.run(soak(port, asked, lambda: [int(pid) for pid in children.read_text().split()], args.seconds))
        finally:
            server.terminate()
            server.stderr.read()
    found["ended"] = server.returncode
    print(json.dumps(found, indent=1))
    if args.json:
        rows = {"rows": [found], "ratios": {"soak_growth": found["most_growth"]}}
        args.json.write_text(json.dumps(rows, indent=1))
    bad = found["wrong"] or found["refused"] or found["unexplained"] or found["most_growth"] >= MOST_GROWTH or server.returncode
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
