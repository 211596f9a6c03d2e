"""`headgate gateway`: the server for annotation tools, from settings and secrets to a listening socket."""

import logging
import os
from collections.abc import Callable, Sequence

import uvicorn

from headgate.data.delivery_secrets import VARIABLE, read_secrets
from headgate.errors import BadSettings
from headgate.settings import Settings, load_settings
from stack.annotation_gateway import Gateway, create_app
from tasks.places import the_lake

Say = Callable[[str], None]


def serve_gateway(host: str | None, port: int | None, say: Say) -> None:
    """Serve until stopped; BadSettings without a secret."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = load_settings()
    config = uvicorn.Config(
        create_app(gateway_of(settings)),
        host=host or settings.gateway.host,
        port=settings.gateway.port if port is None else port,
        log_level="warning",
        limit_concurrency=settings.gateway.max_connections,
        timeout_keep_alive=15,
        server_header=False,
    )
    _Told(config, say).run()


def gateway_of(settings: Settings) -> Gateway:
    """The gateway of this installation."""
    secrets = read_secrets(os.environ, {model.dataset for model in settings.models.values()})
    if not secrets:
        raise BadSettings(
            f"expected a secret in {VARIABLE}, found none; make one with `openssl rand -hex 32` and give it to the server and to the tool"
        )
    return Gateway(the_lake(settings), settings, secrets, _announce)


def _announce(dataset: str, uris: Sequence[str]) -> None:
    """Prefect's client takes seconds to import: the server listens before it is needed."""
    from tasks.announcing import announce_arrival

    announce_arrival(dataset, uris)


class _Told(uvicorn.Server):
    """A server that says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, say: Say) -> None:
        super().__init__(config)
        self.say = say

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, then say so."""
        await super().startup(sockets)  # type: ignore[arg-type]
        for server in self.servers:
            for socket in server.sockets:
                address, port = socket.getsockname()[:2]
                self.say(f"headgate gateway: annotations are taken on http://{f'[{address}]' if ':' in address else address}:{port}")
