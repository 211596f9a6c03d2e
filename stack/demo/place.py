"""Where the demo lives: a home of its own with its own headgate.toml, so that the user's stack stays as it is."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from headgate.errors import Refused
from headgate.lake import Lake, open_lake

MODEL = "replies"
EXAMPLES = Path("examples") / "demo"
_OWN = ("PREFECT_", "MLFLOW_", "HEADGATE_")
WORSE = ('method = "fine-tune"\nlexical = "on"', 'method = "linear-head"\nlexical = "off"')
FILTER = f"""
[models.{MODEL}.bundle]
private_packages = ["{(EXAMPLES / "account_filter").as_posix()}"]

[[models.{MODEL}.filters.custom]]
class = "account_filter:KeyAccounts"
options = {{ names = ["Globex Corporation", "Initech", "Umbrella Group"] }}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The demo's home."""

    home: Path

    @property
    def settings(self) -> Path:
        """Its headgate.toml."""
        return self.home / "headgate.toml"

    @property
    def story(self) -> Path:
        """What was observed so far."""
        return self.home / "story"

    @property
    def page(self) -> Path:
        """The page at the end."""
        return self.home / "page" / "index.html"

    @property
    def lake(self) -> Lake:
        """The demo's own lake."""
        return open_lake(str(self.home / "lake"))

    def environment(self) -> dict[str, str]:
        """What the commands see: nothing of the caller's stack or decisions, and this home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN) and name not in ("APPROVER", "REASON")}
        own = {"HEADGATE_HOME": self.home, "HEADGATE_LAKE": self.home / "lake", "HEADGATE_TOML": self.settings, "USER": "ada@example.com"}
        return kept | {name: str(value) for name, value in own.items()}

    def address(self, service: str) -> str | None:
        """Where a service of the stack or an endpoint's router listens; None before it was given a port."""
        try:
            return f"http://127.0.0.1:{json.loads((self.home / 'ports.json').read_text())[service]['port']}"
        except (FileNotFoundError, KeyError):
            return None

    def production(self) -> str | None:
        """The address that production's clients use; None before the first release is live, when nobody was given it yet."""
        live = self.home / "lake" / "champions" / MODEL / "production.json"
        return self.address(f"{MODEL}-production.router") if live.exists() else None

    def set_settings(self, text: str) -> None:
        """Replace headgate.toml at once; a stage reads the file as it is when it starts."""
        self.home.mkdir(parents=True, exist_ok=True)
        unfinished = self.settings.with_suffix(".part")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(self.settings)

    def require_own(self) -> None:
        """Refused where the home is neither empty nor an earlier demo's."""
        if self.home.exists() and any(self.home.iterdir()) and not (self.story / "begun.json").is_file():
            raise Refused(
                f"{self.home}: expected an empty folder or the home of an earlier demo, found something else; give another --home"
            )

    def forget(self) -> None:
        """Remove the whole home; Refused where it is not an earlier demo's."""
        self.require_own()
        shutil.rmtree(self.home, ignore_errors=True)


def plain_settings() -> str:
    """The settings that the story begins with."""
    return (EXAMPLES / "headgate.toml").read_text(encoding="utf-8")


def worse_settings() -> str:
    """The same with a shorter training, which makes the model much worse."""
    return plain_settings().replace(*WORSE)


def slow_settings() -> str:
    """The same with a filter of the team's own, which is slow on long mails alone."""
    return plain_settings() + FILTER
