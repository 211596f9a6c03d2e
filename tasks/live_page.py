"""A page in Prefect that is rewritten while a run goes on: one artifact a key."""

import time
from uuid import UUID

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger


class Page:
    """A markdown artifact that a run makes once and then updates, at most every `every_s` unless what it tells is `news`."""

    def __init__(self, key: str, description: str, every_s: float = 3.0) -> None:
        self.key, self.description, self.every_s = key, description, every_s
        self._id: UUID | None = None
        self._written = float("-inf")

    def write(self, markdown: str, news: bool) -> None:
        """Show this now; a server that does not answer stops no rollout."""
        if not news and time.monotonic() - self._written < self.every_s:
            return
        self._written = time.monotonic()
        try:
            self._show(markdown)
        except (PrefectException, httpx.HTTPError) as fault:
            get_run_logger().warning("the page %s was not updated: %s", self.key, fault)

    def _show(self, markdown: str) -> None:
        if self._id is None:
            made = create_markdown_artifact(key=self.key, description=self.description, markdown=markdown)
            assert isinstance(made, UUID)
            self._id = made
        else:
            get_client(sync_client=True).update_artifact(self._id, ArtifactUpdate(data=markdown))
