"""What the servers of an endpoint on this machine log of a text: what the model's settings say, else the server's own default."""

from pathlib import Path
from typing import Any

import pytest

from deployments.local_servers import EndpointServers
from deployments.ports import Ports
from deployments.processes import Program
from deployments.target import Revision
from headgate.settings import load_settings
from tasks.places import target_named

SETTINGS = """
home = "home"
[models.replies]
dataset = "replies"
[models.replies.feedback]
log_text = "full"
[models.tickets]
dataset = "tickets"
"""


class Started:
    """Takes programs as supervisord would, and starts none."""

    def __init__(self) -> None:
        self.programs: list[Program] = []

    def start(self, program: Program) -> None:
        self.programs.append(program)


@pytest.mark.parametrize(("model", "told"), [("replies", ["--log-text", "full"]), ("tickets", [])])
def test_a_server_is_told_what_to_keep_of_texts_where_the_settings_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, told: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(SETTINGS)
    load_settings.cache_clear()
    started: Any = Started()
    target = target_named("local")
    servers = EndpointServers(
        endpoint="e",
        folder=tmp_path,
        logs=tmp_path / "logs",
        processes=started,
        ports=Ports(tmp_path),
        first_port=18400,
        ready_s=1,
        log_text=target.log_text,
    )
    servers._start(Revision(release="r1", bundle_digest="a" * 64, bundle=tmp_path, model=model))
    (program,) = started.programs
    command = list(program.command)
    assert (command[command.index("--log-text") :] if "--log-text" in command else []) == told
    load_settings.cache_clear()
