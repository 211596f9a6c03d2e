"""Every line of the prediction log reaches the lake once, however the shipper and the server end."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headgate.lake import Lake, open_lake
from headgate.monitoring import shipping
from headgate.monitoring.shipping import Shipped, ship_once
from headgate.serving.log_files import LogFiles


def line(number: int) -> bytes:
    return json.dumps({"n": number, "model": "sales/replies"}).encode() + b"\n"


def shipped(lake: Lake, kind: str = "predictions") -> list[int]:
    return [json.loads(found)["n"] for key in lake.keys(kind) for found in lake.read(key).splitlines()]


def test_lines_go_to_the_model_and_the_day(lake: Lake, tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "log", "predictions")
    files.append(line(1) + line(2))
    assert ship_once(lake, tmp_path / "log", keep_days=7) == Shipped(parts=1, bytes=len(line(1) + line(2)))
    (name,) = (file.stem for file in (tmp_path / "log").iterdir())
    day = time.strftime("%Y-%m-%d", time.gmtime())
    assert lake.keys("predictions") == [f"predictions/sales-replies/date={day}/{name}/000000000000000.jsonl"]
    files.append(line(3))
    ship_once(lake, tmp_path / "log", keep_days=7)
    assert shipped(lake) == [1, 2, 3]
    assert ship_once(lake, tmp_path / "log", keep_days=7) == Shipped()


def test_corrections_are_shipped_beside_the_predictions(folder_lake: Lake, tmp_path: Path) -> None:
    LogFiles(tmp_path / "feedback", "feedback").append(line(1))
    ship_once(folder_lake, tmp_path, keep_days=7)
    assert shipped(folder_lake, "feedback") == [1]


def test_half_a_line_waits_for_its_end(folder_lake: Lake, tmp_path: Path) -> None:
    files = LogFiles(tmp_path, "predictions")
    files.append(line(1) + line(2)[:5])
    ship_once(folder_lake, tmp_path, keep_days=0)
    assert shipped(folder_lake) == [1]
    files.append(line(2)[5:])
    ship_once(folder_lake, tmp_path, keep_days=0)
    assert shipped(folder_lake) == [1, 2]


def test_a_file_made_anew_with_longer_lines_is_the_one_that_was_shipped(folder_lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / f"predictions-20260504-{'0' * 26}.jsonl"
    file.write_bytes(b"".join(map(line, range(20))))
    ship_once(folder_lake, tmp_path, keep_days=0)
    file.write_bytes(b"".join(line(number).replace(b"}", b', "more": true}') for number in range(20)))
    assert ship_once(folder_lake, tmp_path, keep_days=0) == Shipped(deleted=1)
    assert shipped(folder_lake) == list(range(20))


def test_parts_are_bounded_and_follow_one_another(folder_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MAX_PART_BYTES", 100)
    LogFiles(tmp_path, "predictions").append(b"".join(map(line, range(50))) + json.dumps({"n": 50, "text": "x" * 500}).encode() + b"\n")
    assert ship_once(folder_lake, tmp_path, keep_days=7).parts > 10
    assert shipped(folder_lake) == list(range(51))


def test_two_shippers_at_once_ship_each_line_once(folder_lake: Lake, tmp_path: Path) -> None:
    """The other one ships fewer lines at the same place, between our look and our write."""
    files = LogFiles(tmp_path, "predictions")
    files.append(line(1))

    class Slower(type(folder_lake)):  # type: ignore[misc]
        def put_if_absent(self, key: str, data: bytes) -> bool:
            written: bool = super().put_if_absent(key, line(1) if key.endswith("/000000000000000.jsonl") else data)
            return written and data == line(1)

    files.append(line(2) + line(3))
    ship_once(Slower(folder_lake.root), tmp_path, keep_days=7)
    assert shipped(folder_lake) == [1, 2, 3]


def test_only_old_closed_shipped_files_are_deleted(folder_lake: Lake, tmp_path: Path) -> None:
    closed, written = LogFiles(tmp_path, "predictions"), LogFiles(tmp_path, "predictions")
    closed.append(line(1))
    closed.close()
    written.append(line(2))
    (tmp_path / "notes.jsonl").write_text("mine")
    assert ship_once(folder_lake, tmp_path, keep_days=1).deleted == 0
    in_two_days = time.time() + 2 * shipping.DAY_S
    assert ship_once(folder_lake, tmp_path, keep_days=1, now=in_two_days).deleted == 1
    assert len(list(tmp_path.glob("predictions-*"))) == 1
    written.close()
    assert ship_once(folder_lake, tmp_path, keep_days=1, now=in_two_days).deleted == 1
    assert [file.name for file in tmp_path.glob("*.jsonl")] == ["notes.jsonl"]
    assert shipped(folder_lake) == [1, 2] or shipped(folder_lake) == [2, 1]


def test_the_half_line_of_a_killed_server_is_left_behind(folder_lake: Lake, tmp_path: Path) -> None:
    files = LogFiles(tmp_path, "predictions")
    files.append(line(1) + b'{"n": 2')
    files.close()
    assert ship_once(folder_lake, tmp_path, keep_days=0).deleted == 1
    assert shipped(folder_lake) == [1]


WRITER = """
import sys, json
from pathlib import Path
from headgate.serving.log_files import LogFiles
files = LogFiles(Path(sys.argv[1]), "predictions", max_file_bytes=20_000)
for number in range(int(sys.argv[2])):
    files.append(json.dumps({"n": number, "model": "replies"}).encode() + b"\\n")
"""


def ship_command(log: Path, lake: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "headgate", "ship-log", "--log-dir", str(log), "--to", str(lake), *options]


def test_a_shipper_that_is_told_to_end_ships_once_more_and_ends_well(tmp_path: Path) -> None:
    lake, log = tmp_path / "lake", tmp_path / "log"
    log.mkdir()
    subprocess.run([sys.executable, "-c", WRITER, str(log), "10"], check=True, timeout=60)
    shipper = subprocess.Popen(ship_command(log, lake, "--every-s", "60"), stdout=subprocess.PIPE, text=True)
    assert shipper.stdout
    assert shipper.stdout.readline()
    subprocess.run([sys.executable, "-c", WRITER, str(log), "5"], check=True, timeout=60)
    shipper.send_signal(signal.SIGTERM)
    assert shipper.wait(30) == 0
    assert len(shipped(open_lake(str(lake)))) == 15


def test_a_folder_that_is_not_there_ends_a_shipper(tmp_path: Path) -> None:
    done = subprocess.run(ship_command(tmp_path / "nope", tmp_path / "lake"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert " ".join(done.stderr.split()) == (
        "headgate: expected --log-dir to be the folder that `headgate serve --log-dir` writes, "
        f"found no folder {tmp_path / 'nope'}; start the server first or mend the path"
    )


def test_a_shipper_killed_again_and_again_ships_each_line_once(tmp_path: Path) -> None:
    lake, log = tmp_path / "lake", tmp_path / "log"
    log.mkdir()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(log), "20000"])
    command = ship_command(log, lake, "--every-s", "0.1", "--keep-days", "0")
    for wait_s in (0.8, 1.0, 1.2):
        shipper = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(wait_s)
        shipper.send_signal(signal.SIGKILL)
        shipper.wait()
    assert writer.wait(60) == 0
    subprocess.run([*command, "--once"], check=True, stdout=subprocess.DEVNULL, timeout=60)
    assert sorted(shipped(open_lake(str(lake)))) == list(range(20_000))
    assert list(log.iterdir()) == []


def test_a_lake_that_does_not_answer_is_tried_again(tmp_path: Path) -> None:
    LogFiles(tmp_path / "log", "predictions").append(line(1))
    (tmp_path / "lake").touch()
    command = ship_command(tmp_path / "log", tmp_path / "lake", "--every-s", "0.2")
    shipper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert shipper.stdout
    assert shipper.stdout.readline().startswith("not shipped, tried again in 0.2 s: ")
    (tmp_path / "lake").unlink()
    told = f"shipped {len(line(1))} bytes in 1 part(s), deleted 0 file(s) here\n"
    assert told in iter(shipper.stdout.readline, "")
    shipper.terminate()
    assert shipper.wait(30) == 0
    assert shipped(open_lake(str(tmp_path / "lake"))) == [1]
