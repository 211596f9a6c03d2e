"""What a release's servers are told besides the bundle: part of the release, so that going back brings it back too."""

from typing import Literal

from headgate.record import Record
from headgate.settings import ModelSettings


class Configuration(Record):
    """The options of a server that are no property of the machine it runs on; units and meaning: headgate/settings/."""

    log_text: Literal["none", "hash", "full"] = "hash"
    max_cached: int = 10_000
    workers: int = 1


def configuration_of(settings: ModelSettings) -> Configuration:
    """The configuration that a release made now would have."""
    return Configuration(log_text=settings.feedback.log_text, **settings.serving.model_dump())
