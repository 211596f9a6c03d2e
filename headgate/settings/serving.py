"""How the servers of a model's endpoints are set; a release records it, and goes back to it."""

from pydantic import Field

from headgate.settings.section import Section


class Serving(Section):
    """What the servers are told besides the bundle; a change takes effect with the next release: docs/rollback.md."""

    workers: int = Field(1, ge=1, le=64, description="processes of each server, which share its port")
    max_cached: int = Field(10_000, ge=0, description="answers that each process remembers; 0: none")
