"""Scoring through an endpoint: in batches, and big sets in chunks that outlive kills."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from served import FakeRuntime, listening

from headgate.errors import BadInput, Stale, Unavailable
from headgate.evaluation.asking import MOST_BYTES, Chunk, Endpoint, bodies, score_chunk
from headgate.evaluation.chunk_files import ChunkFiles
from headgate.evaluation.chunks import Tally, score_in_chunks
from headgate.evaluation.scoring import Prediction, score_through
from headgate.model.runtime import Message, Scored

ROWS = pd.DataFrame(
    {
        "id": ["1", "2", "3"],
        "text": ["yes", "no", "I am away"],
        "label": ["positive", "objection", "other"],
        "headers": [None, {}, {"Auto-Submitted": "auto-replied"}],
    }
)
MANY = pd.DataFrame({"id": [f"{n:04d}" for n in range(400)], "text": [f"text {n}" for n in range(400)], "label": "positive"})
DIGEST = FakeRuntime().bundle.digest
SAID = ["predicted", "score", "outcome", "reason"]


def endpoint(body: dict[str, Any]) -> dict[str, Any]:
    """Calls everything positive, and skips what has headers."""
    scored = {"label": "positive", "score": 0.9, "scores": {"positive": 0.9}, "outcome": "scored", "reason": None, "prediction_id": "p"}
    skipped = {"label": None, "score": None, "scores": None, "outcome": "skipped", "reason": "auto_reply", "prediction_id": "p"}
    return {"predictions": [skipped if "headers" in one else scored for one in body["instances"]], "model": {}}


class ByText(FakeRuntime):
    """Its answer depends on the text, so that a mix-up of rows shows; every seventh text is skipped."""

    def score(self, items: list[Message]) -> list[Scored]:
        super().score(items)
        return [answer_to(item.text) for item in items]

    def texts(self) -> list[str]:
        return [text for batch in self.asked for text in batch]


def answer_to(text: str) -> Scored:
    number = int(text.removeprefix("text "))
    if number % 7 == 0:
        return Scored(None, None, {}, "skipped", "too_long")
    return Scored(("positive", "other")[number % 2], number / 1000, {}, "scored", None)


def said(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame[["id", "text", *SAID]].itertuples(index=False, name=None))


EXPECTED = [
    (row.id, row.text, *[getattr(answer_to(row.text), f) for f in ("label", "score", "outcome", "reason")]) for row in MANY.itertuples()
]


def score(port: int, folder: Path, chunk_rows: int = 50, digest: str = DIGEST, **options: Any) -> pd.DataFrame:
    with ThreadPoolExecutor(2) as pool:
        where = {"champion": Endpoint(f"http://127.0.0.1:{port}", digest, "champion", request_rows=8, patience_s=0)}
        return score_in_chunks(where, MANY, "d1", folder, pool, chunk_rows, **options)["champion"]


def test_rows_are_scored_in_batches_and_keep_their_order() -> None:
    told: list[tuple[int, int]] = []
    found = score_through(endpoint, ROWS, batch=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 3), (3, 3)]
    assert found["id"].tolist() == ["1", "2", "3"]
    assert found["predicted"].tolist() == ["positive", "positive", None]
    assert found["outcome"].tolist() == ["scored", "scored", "skipped"]
    assert found["reason"].tolist() == [None, None, "auto_reply"]


def test_an_answer_with_too_few_predictions_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^expected 3 predictions from the endpoint, found 0; does the URL belong to a Headgate endpoint"):
        score_through(lambda _: {"predictions": []}, ROWS)


def test_chunks_scored_over_http_are_put_together_in_the_order_of_the_rows(tmp_path: Path) -> None:
    told: list[Tally] = []
    with listening(runtime := ByText()) as port:
        found = score(port, tmp_path, progress=told.append)
    assert said(found) == EXPECTED
    assert found["prediction_id"].is_unique
    assert sorted(runtime.texts()) == sorted(MANY["text"])
    assert told == [Tally(done, 400, 0) for done in range(0, 401, 50)]


def test_headers_travel_with_their_text(tmp_path: Path) -> None:
    heard: list[Any] = []

    class Headers(FakeRuntime):
        def score(self, items: list[Message]) -> list[Scored]:
            heard.extend((item.text, item.headers) for item in items)
            return super().score(items)

    with listening(Headers()) as port, ThreadPoolExecutor(1) as pool:
        score_in_chunks({"champion": Endpoint(f"http://127.0.0.1:{port}", DIGEST)}, ROWS, "d1", tmp_path, pool)
    assert heard == [("yes", None), ("no", None), ("I am away", {"Auto-Submitted": "auto-replied"})]


def test_two_endpoints_score_the_same_rows_in_one_run(tmp_path: Path) -> None:
    with listening(old := ByText()) as first, listening(new := ByText()) as second, ThreadPoolExecutor(2) as pool:
        where = {name: Endpoint(f"http://127.0.0.1:{port}", DIGEST) for name, port in (("challenger", second), ("champion", first))}
        told: list[Tally] = []
        found = score_in_chunks(where, MANY, "d1", tmp_path, pool, 100, progress=told.append)
    assert {name: said(frame) for name, frame in found.items()} == {"challenger": EXPECTED, "champion": EXPECTED}
    assert sorted(old.texts()) == sorted(new.texts()) == sorted(MANY["text"])
    assert told[-1] == Tally(800, 800, 0)


def test_finished_chunks_are_not_scored_again(tmp_path: Path) -> None:
    with listening(runtime := ByText()) as port:
        first = score(port, tmp_path)
        runtime.asked.clear()
        told: list[Tally] = []
        again = score(port, tmp_path, progress=told.append)
    assert runtime.asked == []
    assert told == [Tally(400, 400, 400)]
    pd.testing.assert_frame_equal(again, first)


@pytest.mark.parametrize("damage", ["flipped bit", "cut short", "empty", "swapped"])
def test_a_damaged_chunk_is_scored_again_and_no_other(tmp_path: Path, damage: str) -> None:
    with listening(runtime := ByText()) as port:
        score(port, tmp_path)
        runtime.asked.clear()
        file, other = sorted(tmp_path.rglob("*.parquet"))[3:5]
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        kinds = {"flipped bit": content, "cut short": content[:100], "empty": b"", "swapped": other.read_bytes()}
        file.write_bytes(kinds[damage])
        assert said(score(port, tmp_path)) == EXPECTED
    assert sorted(runtime.texts()) == sorted(MANY["text"][150:200])


@pytest.mark.parametrize("change", [{"chunk_rows": 100}, {"data_digest": "d2"}, {"bundle_digest": "f" * 64}])
def test_chunks_of_another_bundle_set_or_size_are_left_alone(tmp_path: Path, change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"bundle_digest": DIGEST, "data_digest": "d1", "chunk_rows": 50}
    answers = [Prediction(label="positive", score=0.9, outcome="scored")]
    ChunkFiles(tmp_path, **given).write(0, ["1"], answers)
    assert ChunkFiles(tmp_path, **given).read(0, ["1"]) == answers
    assert ChunkFiles(tmp_path, **given | change).read(0, ["1"]) is None
    assert ChunkFiles(tmp_path, **given).read(0, ["2"]) is None


# Forks a process for each run, so that a test imports pandas once: prints its pid, what it tells, and how it ended.
RUNS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import pandas as pd
from headgate.evaluation.asking import Endpoint
from headgate.evaluation.chunks import score_in_chunks
url, digest, rows, folder = sys.argv[1:]
frame = pd.read_parquet(rows, use_threads=False)
for _ in sys.stdin:
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    print(os.getpid(), flush=True)
    where = {"champion": Endpoint(url, digest, "champion", request_rows=2)}
    with ThreadPoolExecutor(2) as pool:
        score_in_chunks(where, frame, "d1", Path(folder), pool, 10, progress=lambda tally: print(tally.done, flush=True))
    os._exit(0)
"""


def test_a_run_that_is_killed_again_and_again_scores_no_finished_chunk_twice_and_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    MANY.to_parquet(tmp_path / "rows.parquet")
    chunks, finished = tmp_path / "chunks", set[str]()
    with listening(runtime := ByText()) as port:
        command = [sys.executable, "-c", RUNS, f"http://127.0.0.1:{port}", DIGEST, str(tmp_path / "rows.parquet"), str(chunks)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as runs:
            assert runs.stdin
            assert runs.stdout
            for _ in range(3):
                runtime.asked.clear()
                runs.stdin.write("run\n")
                pid = int(runs.stdout.readline())
                assert int(runs.stdout.readline()) == len(finished)
                for _ in range(7):
                    assert int(runs.stdout.readline()) > len(finished)
                os.kill(pid, signal.SIGKILL)
                told = runs.stdout.readline()
                while told.strip() != "-9":
                    assert int(told) > len(finished)
                    told = runs.stdout.readline()
                assert not finished & set(runtime.texts())
                numbers = [int(file.name[:6]) for file in chunks.rglob("*.parquet")]
                before, finished = finished, {text for number in numbers for text in MANY["text"][10 * number : 10 * number + 10]}
                assert before < finished < set(MANY["text"])
        runtime.asked.clear()
        assert said(score(port, chunks, 10)) == EXPECTED
        assert not finished & set(runtime.texts())
        assert set(runtime.texts()) | finished == set(MANY["text"])


class Scripted(ThreadingHTTPServer):
    """An endpoint that gives the scripted answers in turn, then the last one for ever: (status, body)."""

    def __init__(self, *script: tuple[int, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.script, self.asked = list(script), 0


class _Answering(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        script = self.server.script
        status, body = script.pop(0) if len(script) > 1 else script[0]
        self.server.asked += 1
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        return


@contextmanager
def scripted(*script: tuple[int, Any]) -> Iterator[tuple[Scripted, str]]:
    with Scripted(*script) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.01))
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def good(digest: str = DIGEST, rows: int = 1) -> tuple[int, Any]:
    return 200, {"predictions": [{"label": "positive", "score": 0.9, "outcome": "scored"}] * rows, "model": {"bundle_digest": digest}}


def ask_one(url: str, rows: int = 1, patience_s: float = 10) -> list[Prediction]:
    where = Endpoint(url, DIGEST, "challenger", request_rows=1, requests_at_once=1, patience_s=patience_s)
    return score_chunk(Chunk(where, ({"text": "yes"},) * rows))


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_a_busy_endpoint_is_asked_again(status: int) -> None:
    with scripted((status, b"busy"), good()) as (server, url):
        assert ask_one(url) == [Prediction(label="positive", score=0.9, outcome="scored")]
    assert server.asked == 2


def test_an_endpoint_that_stays_busy_is_given_up_with_what_to_do() -> None:
    with scripted((429, b"too much")) as (_, url), pytest.raises(Unavailable) as told:
        ask_one(url, patience_s=0)
    hint = "too many rows at once? lower scoring.requests_at_once or scoring.chunks_at_once"
    assert str(told.value) == f"no good answer within 0 s: {url} (challenger) answered 429: too much; {hint}"


def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"^no good answer within 0 s: http://127\.0\.0\.1:9 \(challenger\): no answer: Connection"):
        ask_one("http://127.0.0.1:9", patience_s=0)


def test_a_refused_request_is_not_repeated() -> None:
    with scripted((422, b"no text")) as (server, url), pytest.raises(BadInput) as told:
        ask_one(url)
    assert str(told.value) == f"{url} (challenger) answered 422: no text; a request of 30 bytes was refused"
    assert server.asked == 1


def test_an_answer_that_is_not_json_is_refused() -> None:
    with scripted((200, b"<html>")) as (_, url), pytest.raises(BadInput, match=r"expected JSON from the endpoint, found something else"):
        ask_one(url)


def test_another_bundle_in_the_middle_ends_the_run_and_its_answers_are_not_kept(tmp_path: Path) -> None:
    rows = MANY.head(20)
    with scripted(good(rows=10), good("0" * 64, rows=10)) as (_, url), ThreadPoolExecutor(1) as pool, pytest.raises(Stale) as told:
        score_in_chunks({"champion": Endpoint(url, DIGEST)}, rows, "d1", tmp_path, pool, 10, chunks_at_once=1)
    expected = f"{url}: expected answers of bundle {DIGEST[:12]}, found 000000000000; another bundle was deployed meanwhile"
    assert str(told.value) == f"{expected}: no answers were mixed, start the test again"
    assert [file.name[:6] for file in tmp_path.rglob("*.parquet")] == ["000000"]


def test_a_request_has_at_most_so_many_rows_and_bytes() -> None:
    small, large = {"text": "x"}, {"text": "x" * (MOST_BYTES // 2)}
    assert [rows for _, rows in bodies([small] * 5, 2)] == [2, 2, 1]
    assert [rows for _, rows in bodies([large] * 3, 10)] == [1, 1, 1]
    assert [json.loads(body) for body, _ in bodies([small, large], 10)] == [{"instances": [small, large]}]
    assert list(bodies([], 10)) == []


def test_a_partly_written_chunk_of_a_killed_run_is_no_chunk(tmp_path: Path) -> None:
    files = ChunkFiles(tmp_path, DIGEST, "d1", 10)
    (files.folder / f".000000-{os.getpid()}.tmp").write_bytes(b"PAR1")
    assert ChunkFiles(tmp_path, DIGEST, "d1", 10).read(0, ["1"]) is None
