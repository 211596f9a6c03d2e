"""Servers in this process that answer as Headgate's do, one a model: a rollout's many requests need no processes."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from simulator import Simulator

from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_clients import Clients
from deployments.target import Revision
from headgate.settings import SageMakerRegion


class Answering:
    """What each release answers: `errors` is the share of failed calls, `delay_s` its latency, `label` its label; by release.

    `about` is what it says of its model, where that is not made up.
    """

    def __init__(self) -> None:
        self.errors: dict[str, float] = {}
        self.delay_s: dict[str, float] = {}
        self.label: dict[str, str] = {}
        self.about: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, int] = {}
        self._servers: list[ThreadingHTTPServer] = []

    def address(self, model: Mapping[str, Any]) -> str:
        """Of a new server for a model; this is the simulator's `serve`."""
        environment = model["PrimaryContainer"]["Environment"]
        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), self._handler(environment["HEADGATE_SERVE_RELEASE"], environment["HEADGATE_SERVE_MODEL"])
        )
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _answer(self, release: str, model: str, texts: int) -> bytes | None:
        number = self.asked[release] = self.asked.get(release, 0) + 1
        time.sleep(self.delay_s.get(release, 0))
        if number * 0.6180339887 % 1 < self.errors.get(release, 0):
            return None
        one = {"label": self.label.get(release, "positive"), "score": 0.9, "outcome": "scored", "reason": None}
        predictions = [{**one, "prediction_id": f"{digest_of(release)[:8]}-{uuid4()}"} for _ in range(texts)]
        about = {"name": model, "release": release, "bundle_digest": digest_of(release), "data_version": None, "commit": None}
        about |= self.about.get(release, {})
        return json.dumps({"predictions": predictions, "model": about}).encode()

    def _handler(self, release: str, model: str) -> type[BaseHTTPRequestHandler]:
        answering = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                said = answering._answer(release, model, len(body["instances"]))
                sent = said or b'{"title":"broken"}'
                head = f"HTTP/1.1 {200 if said else 500} \r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
                self.wfile.write(head.encode() + sent)

            def log_message(self, *args: object) -> None:
                return

        return Handler


def digest_of(release: str) -> str:
    """The bundle digest that a made-up release has."""
    return (release.encode().hex() * 64)[:64]


@contextmanager
def answering(simulator: Simulator) -> Iterator[Answering]:
    """The servers of all models of the simulator from now on."""
    servers = Answering()
    simulator.serve = servers.address
    yield servers
    servers.close()


def revision(release: str) -> Revision:
    """A release with a bundle and an image of its own."""
    digest = digest_of(release)
    return Revision(release=release, bundle_digest=digest, bundle="none", model="replies", image_digest=f"sha256:{digest}")


def target_on(simulator: Simulator, place: SageMakerRegion) -> SageMakerTarget:
    """The target on the simulator, in the place's region and by its clock."""
    names = ("sagemaker", "sagemaker-runtime", "s3", "ecr", "cloudwatch", "sts")
    clients = Clients(*(simulator.client(name, place.region) for name in names))
    return SageMakerTarget(place, clients, sleep=simulator.clock.advance, clock=simulator.clock.now)
