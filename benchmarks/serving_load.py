"""Load by wrk (https://github.com/wg/wrk) for `serving.py`: what it sends, how it is run, and what it measured."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

HERE = Path(__file__).resolve().parent
MARK = "HEADGATE "
TIMEOUT_S = 30
Texts = Literal["distinct", "repeats", "hits"]


@dataclass(frozen=True, slots=True)
class Body:
    """A request: the path it goes to and the JSON around its one text."""

    path: str
    before: str = '{"text": "'
    after: str = '"}'

    def of(self, text: str) -> bytes:
        """The body that carries a text."""
        return (self.before + escaped(text) + self.after).encode()


class Load(TypedDict):
    """What one run of wrk measured; errors are requests without a good answer."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int


def check_wrk() -> None:
    """Raise FileNotFoundError, with what to do, where wrk is not installed."""
    if not shutil.which("wrk"):
        raise FileNotFoundError("expected the load generator wrk on the PATH, found none; apt-get install wrk (or brew install wrk)")


def escaped(text: str) -> str:
    """A text as it stands between the quotes of JSON: ASCII, one line."""
    return json.dumps(text)[1:-1]


def write_texts(texts: Sequence[str], file: Path) -> None:
    """The file that wrk's script reads: one escaped text a line, none twice."""
    file.write_text("".join(f"{escaped(text)}\n" for text in dict.fromkeys(texts)), encoding="ascii")


def run_wrk(address: str, body: Body, file: Path, texts: Texts, connections: int, duration_s: float, run: int, cached: bool = True) -> Load:
    """One run of one thread of wrk; cached: False asks Headgate's cache to stay out of it. Raises RuntimeError."""
    headers = ["Content-Type: application/json", *([] if cached else ["X-Headgate-Cache: off"])]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(duration_s))}s", "--timeout", f"{TIMEOUT_S}s"]
    command += [part for header in headers for part in ("-H", header)]
    command += ["-s", str(HERE / "serving_load.lua"), address + body.path, "--", str(file), body.before, body.after, texts, str(run)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError(f"wrk ended with {ran.returncode}: {(ran.stderr or ran.stdout)[-500:]}")
    return read_load(ran.stdout)


def read_load(output: str) -> Load:
    """What wrk measured, from the line that our script prints at its end. Raises ValueError."""
    line = next((line for line in output.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise ValueError(f"expected a line that starts with {MARK!r} in wrk's output, found: {output[-300:]!r}")
    found = json.loads(line.removeprefix(MARK))
    errors = sum(found.pop(kind) for kind in ("refused", "lost", "timed_out", "status"))
    return Load(**found, errors=errors)
