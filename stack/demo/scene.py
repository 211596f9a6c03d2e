"""What the acts work with: commands as a person gives them, waiting for something observed, and asking the endpoint."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, TypeVar

import httpx

from headgate.errors import HeadgateError
from headgate.lake import Lake
from headgate.release.champion import Champion, champion
from headgate.release.training_ledger import PastTraining, past_trainings
from stack.demo.place import MODEL, Place
from stack.demo.record import Told
from stack.demo.traffic import Request, Traffic, ask

PATIENCE_S = 900.0  # an act that takes this long on a busy machine is given up
_UNSHOWN = ("    ok  ", "Stop everything", "  make stop")  # a data check that passed; how to stop the user's own stack
Found = TypeVar("Found")


class ActFailed(HeadgateError):
    """What was observed is not what the act is about."""


@dataclass
class Scene:
    """One demo under way. `told` holds the lines of the act that is being told."""

    place: Place
    traffic: Traffic
    show: Callable[[str], None]
    told: list[Told] = field(default_factory=list)
    log: Path = Path()

    @property
    def lake(self) -> Lake:
        """The demo's own lake."""
        return self.place.lake

    def say(self, line: str) -> None:
        """Show a line and keep it for the page."""
        self.told.append(Told(at=datetime.now(UTC), text=line))
        self.show(f"  {line}")

    def headgate(self, *arguments: str, expect: Sequence[int] = (0,)) -> int:
        """Give a command, show what it says, and return its exit code; ActFailed for one that is not expected."""
        self.say(f"$ headgate {' '.join(_quoted(argument) for argument in arguments)}")
        lines: list[str] = []
        with self.log.open("a", encoding="utf-8") as log, self._started(arguments) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    lines.append(line.rstrip())
                    if line.strip() and not line.startswith(_UNSHOWN):
                        self.show(f"    | {line.rstrip()}")
            except KeyboardInterrupt:
                process.terminate()  # where only we were told
                raise
        if process.returncode not in expect:
            wanted = " or ".join(map(str, expect))
            raise ActFailed(f"headgate {arguments[0]}: expected exit code {wanted}, found {process.returncode}: {' / '.join(lines[-3:])}")
        return process.returncode

    def _started(self, arguments: Sequence[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "headgate", *arguments],
            env=self.place.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self, wanted: str, look: Callable[[], Found | None], within_s: float = PATIENCE_S) -> Found:
        """Look again and again until something is found; ActFailed says what was waited for."""
        deadline = time.monotonic() + within_s
        while True:
            found = look()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                fail(f"expected {wanted} within {within_s:.0f} s, found none")
            time.sleep(0.5)

    def expect(self, right: bool, wanted: str, found: object) -> None:
        """ActFailed unless it is right."""
        if not right:
            fail(f"expected {wanted}, found {found}")

    def live(self, environment: str = "production") -> Champion:
        """The champion now; ActFailed where there is none."""
        found = champion(self.lake, MODEL, environment)
        return found if found else fail(f"expected a champion in {environment}, found none")

    def trainings(self) -> tuple[PastTraining, ...]:
        """The ledger's trainings, oldest first."""
        return past_trainings(self.lake, MODEL, datetime.now(UTC))

    def ask(self, text: str) -> Request:
        """One question to production, with the answer shown; ActFailed without a good answer."""
        address = self.place.production()
        if address is None:
            fail("expected a production endpoint, found no port of one")
        with httpx.Client(timeout=30, trust_env=False) as http:
            answer = ask(http, address, text)
        self.expect(not answer.failed, f"an answer from {address}", answer.error)
        self.say(f'production answers "{_short(text)}": {answer.label} (release {answer.release[:12]}, {answer.ms:.0f} ms)')
        return answer


def fail(why: str) -> NoReturn:
    """End the act."""
    raise ActFailed(why)


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:87]}..."
