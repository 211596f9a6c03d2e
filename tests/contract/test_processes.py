"""Real programs under a real supervisord."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deployments.processes import Processes, Program
from headgate.errors import BadInput, Unavailable

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


def until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def alive(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(tmp_path / "home with spaces")
    assert found.ensure_running() == []
    yield found
    found.shutdown()


def running(processes: Processes, name: str) -> int:
    until(lambda: processes.states()[name].state == "RUNNING")
    pid = processes.states()[name].pid
    assert pid
    return pid


def test_a_program_runs_until_it_is_stopped_and_starting_it_twice_is_harmless(processes: Processes) -> None:
    program = Program(name="sleeper", command=SLEEP)
    processes.start(program)
    pid = running(processes, "sleeper")
    processes.start(program)
    assert processes.states()["sleeper"].pid == pid
    processes.stop("sleeper")
    processes.stop("sleeper")
    assert processes.states() == {}
    assert not alive(pid)


def test_command_and_variables_arrive_exactly(processes: Processes) -> None:
    awkward = "50% ;x # 'q' \"d\" \\ $HOME, é"
    script = "import os, sys, time; print(repr((sys.argv[1:], os.environ['AWKWARD'])), flush=True); time.sleep(600)"
    processes.start(Program(name="echo", command=(sys.executable, "-c", script, awkward, ""), env={"AWKWARD": awkward}))
    until(lambda: processes.log_tail("echo"))
    assert processes.log_tail("echo") == [repr(([awkward, ""], awkward))]


def test_a_line_break_in_a_command_is_refused(processes: Processes) -> None:
    with pytest.raises(BadInput, match="expected one line"):
        processes.start(Program(name="broken", command=("echo", "a\nb")))


def test_a_changed_command_replaces_the_running_program(processes: Processes) -> None:
    processes.start(Program(name="sleeper", command=SLEEP))
    first = running(processes, "sleeper")
    processes.start(Program(name="sleeper", command=SLEEP, env={"NEW": "1"}))
    second = running(processes, "sleeper")
    assert psutil.Process(second).environ()["NEW"] == "1"
    assert not alive(first)


def test_a_killed_program_is_started_again(processes: Processes) -> None:
    processes.start(Program(name="sleeper", command=SLEEP))
    pid = running(processes, "sleeper")
    os.kill(pid, signal.SIGKILL)
    until(lambda: processes.states()["sleeper"].pid not in (None, pid))
    assert processes.last_exit("sleeper") == "terminated by SIGKILL"


def test_a_program_that_crashes_at_start_is_given_up_with_its_exit_and_its_last_words(processes: Processes) -> None:
    processes.start(Program(name="crash", command=(sys.executable, "-c", "import sys; print('no such file'); sys.exit(3)")))
    until(lambda: processes.states()["crash"].state in ("BACKOFF", "FATAL"))
    assert processes.states()["crash"].exit == "exit status 3"
    assert processes.log_tail("crash", 1) == ["no such file"]


def test_everything_starts_again_after_a_shutdown(processes: Processes) -> None:
    processes.start(Program(name="sleeper", command=SLEEP))
    pid = running(processes, "sleeper")
    assert processes.shutdown() == []
    assert not alive(pid)
    assert processes.states() == {}
    assert processes.shutdown() == []
    assert processes.ensure_running() == []
    assert running(processes, "sleeper") != pid


def test_leftovers_of_a_killed_supervisord_are_stopped_and_started_anew(processes: Processes) -> None:
    processes.start(Program(name="sleeper", command=SLEEP))
    orphan = running(processes, "sleeper")
    os.kill(psutil.Process(orphan).ppid(), signal.SIGKILL)
    until(lambda: not processes.states())
    (found,) = processes.ensure_running()
    assert found.startswith("stopped 1 process(es) left over from a stack that was killed: ")
    assert f"(pid {orphan})" in found
    assert running(processes, "sleeper") != orphan
    assert not alive(orphan)


def test_a_program_that_was_given_up_is_started_again_and_told(processes: Processes, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).exists() or sys.exit(1); time.sleep(600)"
    processes.start(Program(name="needs-flag", command=(sys.executable, "-c", script, str(flag))))
    until(lambda: processes.states()["needs-flag"].state == "FATAL", 30)
    flag.touch()
    assert processes.ensure_running() == ["needs-flag was fatal; started it again"]
    running(processes, "needs-flag")


def test_a_supervised_process_never_starts_its_own_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_SUPERVISED", str(tmp_path.resolve()))
    with pytest.raises(Unavailable, match="was killed while this process ran under it; start the stack again"):
        Processes(tmp_path).ensure_running()


def test_a_deep_home_folder_works_although_a_socket_path_is_short(tmp_path: Path) -> None:
    processes = Processes(tmp_path / ("deep" * 30))
    processes.ensure_running()
    try:
        processes.start(Program(name="sleeper", command=SLEEP))
        running(processes, "sleeper")
    finally:
        processes.shutdown()


def test_without_supervisord_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"does not answer .*; start the stack$"):
        Processes(tmp_path).start(Program(name="sleeper", command=SLEEP))
