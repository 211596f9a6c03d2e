"""The serving processes behind a simulated endpoint: the stub container, or headgate.serving of a bundle."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from running_server import until_ready


@dataclass
class Containers:
    """Which program serves which model; the first key that the model's description holds decides.

    A key is any text of the description: a model's name, a bundle's digest, an image. The processes live until `close`.
    """

    _commands: dict[str, list[str]] = field(default_factory=dict)
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    def stub(self, key: str, label: str = "positive", *, errors: float = 0.0, delay_s: float = 0.0) -> None:
        """Models with this key always answer with the label; a share of the requests fails, each waits."""
        script = Path(__file__).with_name("stub_container.py")
        self._commands[key] = [sys.executable, str(script), label, "--errors", str(errors), "--delay-s", str(delay_s)]

    def bundle(self, key: str, bundle: Path) -> None:
        """Models with this key are served by Headgate's own server, told what the model's environment tells it."""
        self._commands[key] = [sys.executable, "-m", "headgate.serving", str(bundle), "--port", "0", "--workers", "1"]

    def address(self, model: Mapping[str, Any]) -> str:
        """Of a new process that serves the model, ready; this is the simulator's `serve`."""
        described = json.dumps(model, default=str)
        command = next((command for key, command in self._commands.items() if key in described), None)
        if command is None:
            raise LookupError(f"expected a container for one of {list(self._commands)}, found none of them in {described}")
        environment = model.get("PrimaryContainer", {}).get("Environment", {})
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **{k: str(v) for k, v in environment.items()}},
        )
        self._running.append(process)
        assert process.stdout
        told = process.stdout.readline()
        url = told.split(" on ")[-1].split(",")[0].strip()
        assert url.startswith("http://"), told + process.stdout.read()
        until_ready(url)
        return url

    def kill(self) -> None:
        """All at once, as a lost instance: the simulator's next request to them fails."""
        for process in self._running:
            process.kill()
            process.wait()

    def close(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.communicate(timeout=60)
        self._running.clear()
