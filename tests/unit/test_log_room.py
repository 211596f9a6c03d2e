"""A log that nobody ships bounds itself: its oldest closed files are removed."""

import subprocess
import sys
from pathlib import Path

import pytest

from headgate.errors import BadInput
from headgate.serving import __main__ as command
from headgate.serving.log_files import LogFiles
from headgate.serving.server import run

LINE = b"x" * 99 + b"\n"


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_the_oldest_files_make_room_and_the_newest_lines_are_kept(tmp_path: Path) -> None:
    (tmp_path / "feedback-20200101-a.jsonl").write_bytes(LINE * 100)
    log = LogFiles(tmp_path, "predictions", keep_bytes=1000)
    for number in range(100):
        log.append(b"%099d\n" % number)
        assert bytes_in(tmp_path) <= 10_000 + 1000 + len(LINE)
    log.close()
    kept = [int(line) for file in sorted(tmp_path.glob("predictions-*")) for line in file.read_text().split()]
    assert kept == list(range(100 - len(kept), 100))
    assert len(kept) >= 7, "most of the room is used"
    assert bytes_in(tmp_path) - 10_000 <= 1000
    assert (tmp_path / "feedback-20200101-a.jsonl").exists(), "another kind is not its own to remove"


def test_a_file_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from headgate.serving.log_files import LogFiles;"
        "log = LogFiles(Path(sys.argv[1]), 'predictions'); log.append(b'y' * 900 + b'\\n'); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        [theirs] = tmp_path.glob("predictions-*")
        log = LogFiles(tmp_path, "predictions", keep_bytes=1000)
        for _ in range(20):
            log.append(LINE)
        assert theirs.read_bytes() == b"y" * 900 + b"\n"
        assert other.stdin is not None
        other.stdin.close()
    log = LogFiles(tmp_path, "predictions", keep_bytes=1000)
    log.append(LINE)
    log.close()
    assert not theirs.exists(), "it is the oldest, and closed"


def test_without_a_bound_nothing_is_removed(tmp_path: Path) -> None:
    log = LogFiles(tmp_path, "predictions", max_file_bytes=1)
    for _ in range(20):
        log.append(LINE)
    log.close()
    assert len(list(tmp_path.iterdir())) == 20


@pytest.mark.parametrize(
    ("options", "variable", "told"), [((), "4194304", 2**22), (("--log-keep-bytes", "2097152"), "4194304", 2**21), ((), None, None)]
)
def test_the_bound_is_an_option_or_a_variable_that_older_servers_do_not_mind(
    options: tuple[str, ...], variable: str | None, told: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(command, "run", lambda **chosen: seen.append(chosen))
    monkeypatch.delenv("HEADGATE_LOG_KEEP_BYTES", raising=False)
    if variable:
        monkeypatch.setenv("HEADGATE_LOG_KEEP_BYTES", variable)
    assert command.main(["bundle", *options]) == 0
    assert [one["log_keep_bytes"] for one in seen] == [told]


def test_a_bound_below_one_mebibyte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected to keep at least 1048576 bytes of log, found 100"):
        run(tmp_path, log_keep_bytes=100)
    assert list(tmp_path.iterdir()) == []
