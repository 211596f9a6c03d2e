"""Probe requests for endpoints without traffic of their own, so that a canary has something to answer."""

import random
import time
from collections.abc import Sequence

from deployments.target import Target
from headgate.errors import HeadgateError
from headgate.settings import Stage


class Probe:
    """Sends regression texts through the endpoint's split at the stage's `probe_rate_per_s`."""

    def __init__(self, target: Target, endpoint: str, stage: Stage, texts: Sequence[str]) -> None:
        self.target, self.endpoint, self.rate, self.texts = target, endpoint, stage.probe_rate_per_s, texts
        self.random = random.Random(0)  # noqa: S311 - picks texts, protects nothing

    def send_for(self, seconds: float) -> None:
        """Send for this long, or just wait if the stage wants no probes. Failed ones are counted where they fail."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.rate and self.texts:
                self._send()
            time.sleep(min(left, 1 / self.rate if self.rate else left))

    def _send(self) -> None:
        try:
            self.target.invoke(self.endpoint, {"instances": [{"text": self.random.choice(self.texts)}]})
        except HeadgateError:
            return
