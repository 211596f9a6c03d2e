"""What SageMaker captured becomes lines of the prediction log: as the servers write them, and each once, whatever is killed."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from killed_between_calls import Interrupted, Killed, Kills
from made_up_predictions import corrected, identifier
from served import FakeRuntime, served

from deployments.sagemaker_captures import Captures
from deployments.sagemaker_log_lines import Source, file_name, log_file
from deployments.sagemaker_logs import CaptureLogs
from deployments.sagemaker_objects import Cast
from deployments.sagemaker_state import Config, States
from deployments.target import Revision
from headgate.errors import NotFound, Refused
from headgate.lake import FolderLake, Lake
from headgate.monitoring.feedback import collect
from headgate.monitoring.prediction_log import OVERLAPPED, find_predictions, new_lines, predicted_at
from headgate.monitoring.provenance import Places, trace
from headgate.monitoring.shipping import ship_once
from headgate.release.configuration import Configuration
from headgate.settings import ModelSettings
from headgate.why_command import told

NOW = datetime(2026, 5, 4, 12, 10, tzinfo=UTC)
ENDPOINT, TO = "replies-production", "s3://bucket/captures"
CONFIG = "replies-production-0123456789abcdef"
FOLDER = f"captures/{CONFIG}/{ENDPOINT}/champion/"


def record(
    answer: str, asked: tuple[str, bytes] | None = None, at: datetime = NOW, name: str = "c1", kind: str = "application/json"
) -> str:
    """A line of a capture, as SageMaker writes it; what is asked is a content type and a body."""
    data = {"endpointOutput": {"observedContentType": kind, "mode": "OUTPUT", "data": answer, "encoding": "JSON"}}
    if asked:
        told = base64.b64encode(asked[1]).decode()
        data["endpointInput"] = {"observedContentType": asked[0], "mode": "INPUT", "data": told, "encoding": "BASE64"}
    about = {"inferenceId": name, "eventId": "e1", "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    return json.dumps({"captureData": data, "eventMetadata": about, "eventVersion": "0"}) + "\n"


def answer_of(*names: str, release: str = "r1") -> str:
    predictions = [{"label": "a", "score": 0.9, "outcome": "scored", "reason": None, "prediction_id": name} for name in names]
    return json.dumps({"predictions": predictions, "model": {"name": "replies", "release": release}})


@pytest.mark.parametrize("policy", ["none", "hash", "full"])
def test_a_line_is_what_the_server_itself_logs_but_for_what_captures_do_not_tell(tmp_path: Path, policy: Any) -> None:
    rows = [{"text": "  Yes, please\r\nsend it "}, {"text": "No \u00fc"}]
    asked = {
        "application/json": json.dumps({"instances": [*rows, {"raw": "Subject: x\n\nFrom a mail"}, "bare"]}).encode(),
        "application/jsonlines": b"".join(json.dumps(row).encode() + b"\n" for row in rows),
        "text/csv; charset=utf-8": b'text\n"one, two"\nthree\n',
        "text/plain": b"plain text",
    }
    body = ""
    with served(FakeRuntime(), log_dir=tmp_path, log_text=policy, model="replies", release="r1") as client:
        for kind, content in asked.items():
            said = client.post("/invocations", content=content, headers={"Content-Type": kind})
            body += record(said.text, (kind, content), kind=said.headers["Content-Type"])
    theirs = [json.loads(line) for file in tmp_path.glob("*.jsonl") for line in file.read_text().splitlines()]
    made = log_file("s3://b/k", body.encode(), Source("champion", "replies", "r1", policy))
    assert made
    ours = [json.loads(line) for line in made.lines.splitlines()]
    assert len(ours) == 9
    assert {json.dumps([one.pop("ts"), one.pop("latency_ms"), one.pop("cached")]) for one in ours} == {
        '["2026-05-04T12:10:00.000Z", null, null]'
    }
    for line in theirs:
        assert line.pop("ts")
        assert line.pop("latency_ms") > 0
        assert isinstance(line.pop("cached"), bool)
    assert ours == theirs


def test_without_a_captured_request_nothing_is_known_of_the_text() -> None:
    found = log_file("s3://b/k", record(answer_of("p1")).encode(), Source("champion", log_text="hash"))
    assert found
    assert json.loads(found.lines) == {
        "ts": "2026-05-04T12:10:00.000Z",
        "prediction_id": "p1",
        "model": "replies",
        "release": "r1",
        "cohort": "champion",
        "latency_ms": None,
        "cached": None,
        "label": "a",
        "score": 0.9,
        "outcome": "scored",
        "reason": None,
    }


@pytest.mark.parametrize("asked", [b'{"instances": [{"text": "one"}, {"text": "two"}]}', b"no JSON", b'{"instances": 3}'])
def test_a_request_that_does_not_fit_its_answer_tells_no_text(asked: bytes) -> None:
    found = log_file("s3://b/k", record(answer_of("p1"), ("application/json", asked)).encode(), Source("champion", log_text="full"))
    assert found
    assert "text" not in json.loads(found.lines)


def test_a_captured_request_without_content_tells_no_text() -> None:
    line = json.loads(record(answer_of("p1"), ("application/json", b"{}")))
    line["captureData"]["endpointInput"] |= {"data": None, "encoding": "JSON"}
    found = log_file("s3://b/k", json.dumps(line).encode(), Source("champion", log_text="full"))
    assert found
    assert "text" not in json.loads(found.lines)


def test_our_own_questions_and_what_is_no_answer_are_left_out() -> None:
    ours = record(answer_of("p1"), name="headgate-asks-1") + record(answer_of("p2"), name="headgate-probes-2")
    assert log_file("s3://b/k", (ours + "{\n" + record('{"predictions": [{}]}')).encode(), Source("champion")) is None


def test_a_file_is_named_as_a_servers_and_opened_before_its_predictions() -> None:
    name = file_name("s3://bucket/key", NOW)
    assert name == file_name("s3://bucket/key", NOW) != file_name("s3://bucket/other", NOW)
    assert name.startswith("predictions-20260504-01")
    assert predicted_at(name.removesuffix(".jsonl")) == NOW


@dataclass
class Bucket:
    """Captures in memory; what was read is counted."""

    files: dict[str, str] = field(default_factory=dict)
    read: Counter[str] = field(default_factory=Counter)
    listed: int = 0

    def add(self, at: datetime, *names: str, name: str = "00-00-000-a", folder: str = FOLDER) -> None:
        self.files[f"{folder}{at:%Y/%m/%d/%H}/{name}.jsonl"] = record(answer_of(*names), at=at)

    def keys(self, bucket: str, prefix: str, after: str = "") -> Iterator[str]:
        assert bucket == "bucket"
        for key in sorted(key for key in self.files if key.startswith(prefix) and key > after):
            self.listed += 1
            yield key

    def folders(self, bucket: str, prefix: str) -> list[str]:
        assert bucket == "bucket"
        return sorted({prefix + key[len(prefix) :].partition("/")[0] + "/" for key in self.files if key.startswith(prefix)})

    def body(self, bucket: str, key: str) -> bytes:
        if key not in self.files:
            raise NotFound(f"no {key} in {bucket}")
        self.read[key] += 1
        return self.files[key].encode()


class Known:
    """One configuration whose champion is r1 and keeps texts; the challenger is a shadow."""

    def config(self, name: str) -> Config:
        if name != CONFIG:
            raise NotFound(name)
        return Config(name, Cast(champion="m1", challenger="m2", shape="shadow", shadow_percent=50), "", 100)

    def revision(self, model: str) -> Revision:
        release = {"m1": "r1", "m2": "r2"}[model]
        return Revision(release=release, bundle_digest="b" * 64, bundle="x", model="replies", configuration=Configuration(log_text="full"))


class World:
    """A bucket of captures, this machine, and a lake; a kill comes before or after any write."""

    def __init__(self, folder: Path, kills: Kills) -> None:
        self.bucket, self.home, self.now, self.kills = Bucket(), folder / "home", NOW, kills
        self.lake = FolderLake(folder / "lake")

    def round(self) -> None:
        self.logs.copy(ENDPOINT, self.now - timedelta(days=6), self.home)
        for release in sorted(path for path in (self.home / ENDPOINT).iterdir() if path.is_dir()):
            ship_once(Interrupted(self.lake, self.kills), release, 0)

    @property
    def logs(self) -> CaptureLogs:
        """As a new process has it."""
        return CaptureLogs(cast(Captures, self.bucket), cast(States, Known()), TO, lambda: self.now)

    def shipped(self) -> list[str]:
        return [json.loads(line)["prediction_id"] for key in self.lake.keys("predictions") for line in self.lake.read(key).splitlines()]


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kills]:
    """A kill may come before and after a file gets its name, and before and after one is deleted."""
    found = Kills()
    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, with_moments(getattr(Path, name), found))
    yield found
    found.never()


def with_moments(act: Callable[..., Any], kills: Kills) -> Callable[..., Any]:
    def acts(*args: Any, **kwargs: Any) -> Any:
        kills.moment()
        found = act(*args, **kwargs)
        kills.moment()
        return found

    return acts


@pytest.fixture
def world(tmp_path: Path, kills: Kills) -> World:
    return World(tmp_path, kills)


def test_each_capture_is_read_once_and_each_answer_shipped_once(world: World) -> None:
    ids = [identifier(NOW) for _ in range(4)]
    world.bucket.add(NOW, *ids[:2])
    world.bucket.add(NOW - timedelta(days=3), ids[2])
    world.round()
    world.round()
    world.now += timedelta(hours=3)
    world.bucket.add(NOW, ids[3], name="59-59-999-late")
    world.round()
    world.round()
    assert sorted(world.shipped()) == sorted(ids)
    assert {*world.bucket.read.values()} == {1}
    assert find_predictions(world.lake, "replies", [ids[0]])[ids[0]].release == "r1"
    assert not list(world.home.rglob("*.jsonl"))


def test_a_kill_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, kills: Kills) -> None:
    ids = [identifier(NOW) for _ in range(2)]
    for moment in range(100):
        world = World(tmp_path / str(moment), kills)
        for number, name in enumerate(ids):
            world.bucket.add(NOW, name, name=f"{number:02d}")
        killed = died(world, moment)
        world.round()
        assert sorted(world.shipped()) == sorted(ids), moment
        if not killed:
            assert moment > 12
            return
    pytest.fail("expected an end to the moments")


def test_kills_again_and_again_lose_and_double_nothing(world: World) -> None:
    ids = [identifier(NOW) for _ in range(5)]
    for number, name in enumerate(ids):
        world.bucket.add(NOW - timedelta(hours=number // 2), name, name=f"{number:02d}")
    assert sum(died(world, moment % 9) for moment in range(60)) > 20
    world.round()
    assert sorted(world.shipped()) == sorted(ids)


def died(world: World, moment: int) -> bool:
    """Whether a round was killed at that moment."""
    world.kills.after(moment)
    try:
        world.round()
    except Killed:
        return True
    finally:
        world.kills.never()
    return False


def test_lost_notes_and_a_lost_disk_ship_nothing_twice(world: World) -> None:
    ids = [identifier(NOW) for _ in range(2)]
    world.bucket.add(NOW, *ids)
    world.round()
    (note,) = (world.home / ENDPOINT).glob("*-champion.json")
    for content in ("", "{", None):
        note.unlink() if content is None else note.write_text(content)
        world.round()
    assert sorted(world.shipped()) == sorted(ids)
    assert world.bucket.read.total() == 4


def test_a_long_look_goes_on_where_it_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.sagemaker_logs.AT_ONCE", 2)
    ids = [identifier(NOW) for _ in range(5)]
    for number, name in enumerate(ids):
        world.bucket.add(NOW - timedelta(days=number), name)
    for _ in range(4):
        world.round()
    assert sorted(world.shipped()) == sorted(ids)


def test_of_a_long_backlog_each_look_lists_little_and_what_comes_late_amid_it_is_copied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.sagemaker_logs.AT_ONCE", 10)
    ids = [identifier(NOW) for _ in range(121)]
    for number, name in enumerate(ids[:120]):
        world.bucket.add(NOW - timedelta(hours=120 - number), name)
    listed = []
    for _ in range(11):
        before = world.bucket.listed
        world.round()
        listed.append(world.bucket.listed - before)
    assert max(listed[:9]) <= 12  # those of the last hour that was copied, ten new ones, and the first of the rest
    world.bucket.add(NOW - timedelta(hours=20), ids[120], name="59-59-999-late")
    for _ in range(3):
        world.round()
    assert sorted(world.shipped()) == sorted(ids)
    assert {*world.bucket.read.values()} == {1}


def test_a_shadow_is_told_apart_and_a_removed_configuration_keeps_no_text(world: World) -> None:
    asked = ("application/json", b'{"instances": [{"text": "secret"}]}')
    gone = f"captures/{ENDPOINT}-{'f' * 16}/{ENDPOINT}/champion/"
    ids = {folder: identifier(NOW) for folder in (FOLDER, FOLDER.replace("champion", "challenger"), gone)}
    for folder, name in ids.items():
        world.bucket.files[f"{folder}2026/05/04/12/a.jsonl"] = record(answer_of(name), asked)
    world.round()
    found = find_predictions(world.lake, "replies", ids.values())
    told = [(found[name].cohort, found[name].text) for name in ids.values()]
    assert told == [("champion", "secret"), ("shadow", "secret"), ("champion", None)]


def test_a_correction_of_such_an_answer_becomes_a_row(world: World) -> None:
    name, asked = identifier(NOW), ("application/json", b'{"instances": [{"text": "Call me"}]}')
    world.bucket.files[f"{FOLDER}2026/05/04/12/a.jsonl"] = record(answer_of(name), asked)
    world.round()
    corrected(world.lake, (name, "b", "ada"))
    assert collect(world.lake, "replies", ModelSettings(dataset="replies", labels=("a", "b")), NOW).landed == {"b": 1}


def test_what_is_asked_about_such_a_prediction_tells_no_latency(world: World) -> None:
    name = identifier(NOW)
    world.bucket.add(NOW, name)
    world.round()
    found = trace(Places(world.lake, world.home, ("replies",)), name).provenance
    assert (found.release, found.label, found.latency_ms) == ("r1", "a", None)
    assert "served      cohort champion, how fast is not known" in told(found)


def test_other_endpoints_captures_are_left_alone(world: World) -> None:
    other = "replies-production-eu"
    world.bucket.add(NOW, identifier(NOW), folder=f"captures/{other}-0123456789abcdef/{other}/champion/")
    world.bucket.add(NOW, identifier(NOW), folder=f"captures/{ENDPOINT}-of-somebody/{ENDPOINT}/champion/")
    world.round()
    assert world.shipped() == []
    assert world.bucket.read.total() == 0


def test_a_folder_that_cannot_be_read_is_told_and_keeps_no_other_from_being_copied(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = "replies-production-0000000000000000", identifier(NOW)
    world.bucket.add(NOW, identifier(NOW), folder=f"captures/{theirs}/{ENDPOINT}/champion/")
    world.bucket.add(NOW, ours)
    known = Known.config

    def config(self: Known, name: str) -> Config:
        if name == theirs:
            raise Refused(f"endpoint configuration {theirs}: somebody else's")
        return known(self, name)

    monkeypatch.setattr(Known, "config", config)
    with pytest.raises(Refused, match=rf"^endpoint configuration {theirs}: somebody else's$"):
        world.round()
    monkeypatch.setattr(Known, "config", known)
    ship_once(world.lake, world.home / ENDPOINT / "r1", 0)
    assert world.shipped() == [ours]


def test_a_capture_that_expires_meanwhile_is_no_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [identifier(NOW) for _ in range(2)]
    world.bucket.add(NOW, ids[0], name="a")
    world.bucket.add(NOW, ids[1], name="b")
    listed = world.bucket.keys

    def expiring(*asked: str) -> list[str]:
        found = list(listed(*asked))
        world.bucket.files.pop(f"{FOLDER}2026/05/04/12/a.jsonl", None)
        return found

    monkeypatch.setattr(world.bucket, "keys", expiring)
    world.round()
    assert world.shipped() == [ids[1]]


def test_a_queue_reads_only_the_newest_of_a_days_captures_again(folder_lake: Lake) -> None:
    def put(number: int, offset: int, *names: str) -> None:
        file = file_name(f"s3://b/{number}", NOW + timedelta(seconds=number)).removesuffix(".jsonl")
        lines = "".join(f'{{"prediction_id":"{name}"}}\n' for name in names)
        folder_lake.put_if_absent(f"predictions/replies/date=2026-05-04/{file}/{offset:015d}.jsonl", lines.encode())

    put(0, 0, "a")
    put(0, 22, "b")
    for number in range(1, 81):
        put(number, 0, f"c{number}")
    _, reached = new_lines(folder_lake, "predictions", "replies", {}, NOW.date(), 1)
    put(99, 0, "new")
    found, _ = new_lines(folder_lake, "predictions", "replies", reached, NOW.date(), 1, overlap=1)
    again = [f"c{number}" for number in range(81 - OVERLAPPED, 81)]
    assert [line["prediction_id"] for line in found] == ["b", *again, "new"]
