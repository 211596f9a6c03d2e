"""What supervisord is told: its own file, one file a program, and where its socket is."""

import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from headgate.errors import BadInput

_LONGEST_SOCKET = 90  # sun_path holds 107 bytes, and supervisord binds a longer temporary name first

_SUPERVISORD = """\
[unix_http_server]
file = {socket}
chmod = 0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
directory = {home}
logfile = {folder}/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 2
pidfile = {folder}/supervisord.pid

[include]
files = programs/*.conf
"""

_PROGRAM = """\
[program:{name}]
command = {command}
directory = {cwd}
autostart = true
autorestart = true
startsecs = {start_s}
startretries = 3
stopsignal = {stop_signal}
stopwaitsecs = {stop_wait_s}
stopasgroup = {stop_group}
killasgroup = true
redirect_stderr = true
stdout_logfile = {log}
stdout_logfile_maxbytes = 5MB
stdout_logfile_backups = 2
"""


class Program(BaseModel):
    """A program that is kept running until it is stopped by name."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    command: tuple[str, ...]
    env: Mapping[str, str] = Field(default_factory=dict)
    cwd: Path | None = Field(None, description="default: the home folder")
    start_s: int = Field(1, ge=0, description="an exit within this time counts as a failed start; three of them and it is given up")
    stop_signal: str = "TERM"
    stop_group: bool = Field(True, description="the stop signal reaches the program's children too")
    stop_wait_s: int = Field(10, ge=1, description="then it is killed with its children")


def supervisord_file(socket: Path, home: Path, folder: Path) -> str:
    """The text of supervisord's own file, which lies in folder."""
    return _SUPERVISORD.format(socket=_verbatim(str(socket)), home=_verbatim(str(home)), folder=_verbatim(str(folder)))


def program_file(program: Program, home: Path, log: Path) -> str:
    """The text of one program's file; BadInput if supervisord cannot be told."""
    return _PROGRAM.format(
        name=program.name,
        command=_command(program.command, program.env),
        cwd=_verbatim(str(program.cwd or home)),
        start_s=program.start_s,
        stop_signal=program.stop_signal,
        stop_wait_s=program.stop_wait_s,
        stop_group=str(program.stop_group).lower(),
        log=_verbatim(str(log)),
    )


def write_private(path: Path, text: str) -> None:
    """Replace the file's text at once, readable by its owner alone; a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


def _command(command: Sequence[str], env: Mapping[str, str]) -> str:
    """One line that supervisord splits into exactly these words; variables go through env(1), whose quoting is faithful."""
    words = ["env", *(f"{key}={value}" for key, value in sorted(env.items())), *command] if env else command
    # Two empty quotes keep supervisord from reading ' ;' and ' #' inside a quoted word as a comment.
    return _verbatim(re.sub(r"(\s)([;#])", r"\1''\2", shlex.join(words)))


def _verbatim(value: str) -> str:
    """The value as supervisord's file has to spell it; BadInput if it cannot."""
    if re.search(r"[\n\r\0]|\s[;#]", value):
        raise BadInput(f"expected one line without ' ;' or ' #', which supervisord cannot be told; found {value!r}")
    return value.replace("%", "%%")


def socket_path(folder: Path) -> Path:
    """A socket in the folder, or under /tmp where the folder's path is too long for one."""
    if len(str(folder / "socket").encode()) <= _LONGEST_SOCKET:
        return folder / "socket"
    digest = hashlib.sha256(str(folder).encode()).hexdigest()
    return Path(f"/tmp/headgate-{os.getuid()}-{digest[:12]}.socket")  # noqa: S108 - stable, and bound by the owner with mode 0600
