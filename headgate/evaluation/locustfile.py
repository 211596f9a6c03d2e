"""What Locust runs in its own processes: requests that start at set times, whether or not earlier ones were answered.

One process conducts (load_conductor.py): it sends the workers what to do by message and takes their samples in, so that workers
may run on other machines: python -m locust -f headgate/evaluation/locustfile.py --worker --master-host HOST. Alone it is both.
A sample is [lane, intended start in s, start's delay in ms, latency from the intended start in ms, fault or null].
"""

import json
import time
from urllib.parse import urlsplit
from zlib import crc32

import gevent  # type: ignore[import-untyped]  # ships no types
from gevent.pool import Group  # type: ignore[import-untyped]  # ships no types
from geventhttpclient import HTTPClient
from locust import User, events, task
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from headgate.evaluation.load_conductor import Conductor

FLUSH_S = 0.25


class Idle(User):  # type: ignore[misc]  # locust ships no usable types
    """Locust runs no test without a user; arrivals are not made by users, who would wait for their answers."""

    @task  # type: ignore[untyped-decorator]
    def wait(self) -> None:
        """Do nothing."""
        gevent.sleep(1)


class Sender:
    """Sends one worker's share of each part of the test."""

    def __init__(self, environment) -> None:  # type: ignore[no-untyped-def]
        self.environment, self.runner = environment, environment.runner
        self.plan: dict[str, object] = {}
        self.samples: list[tuple[int, float, float, float, str | None]] = []

    def prepare(self, plan) -> None:  # type: ignore[no-untyped-def]
        """Take in where to send, and which texts."""
        self.plan = plan
        timeout = plan["timeout_s"]
        self.client = HTTPClient.from_url(plan["url"], concurrency=plan["connections"], connection_timeout=timeout, network_timeout=timeout)
        self.path = urlsplit(plan["url"]).path.rstrip("/") + "/invocations"
        self.headers = [_headers(lane) for lane in plan["lanes"]]

    def begin(self, part) -> None:  # type: ignore[no-untyped-def]
        """Start on a part of the test without keeping Locust's messages waiting."""
        gevent.spawn(self._send_part, part)

    def _send_part(self, part) -> None:  # type: ignore[no-untyped-def]
        """Whole rounds, one request a lane with the same text: this worker's are those that its number is left over from."""
        lanes, gap = part["lanes"], 1 / (part["rate_per_s"] * len(part["lanes"]))
        group, start, flusher = Group(), time.perf_counter() + part["start_in_s"], gevent.spawn(self._flush_often)
        for round_ in range(part["worker"], part["rounds"], part["workers"]):
            body = self._body(crc32(round_.to_bytes(8, "big")) % part["texts"])
            for place, lane in enumerate(lanes):
                offset = (round_ * len(lanes) + place) * gap
                gevent.sleep(max(0.0, start + offset - time.perf_counter()))
                group.spawn(self._request, lane, body, start, offset)
        group.join()
        flusher.kill()
        self._flush()
        self.runner.send_message("headgate_done", {"worker": part["worker"]})

    def _body(self, number: int) -> bytes:
        return json.dumps({"instances": [{"text": self.plan["texts"][number]}]}).encode()  # type: ignore[index]

    def _request(self, lane: int, body: bytes, start: float, offset: float) -> None:
        delay, timeout, fault = time.perf_counter() - start - offset, self.plan["timeout_s"], None
        try:
            with gevent.Timeout(timeout):
                response = self.client.post(self.path, body, headers=self.headers[lane])
                response.read()
                fault = None if response.status_code == 200 else f"HTTP {response.status_code}"
        except gevent.Timeout:
            fault = f"no answer in {timeout:g} s"
        except Exception as broken:
            fault = f"{type(broken).__name__}: {broken}"
        latency = time.perf_counter() - start - offset
        self.samples.append((lane, offset, 1000 * delay, 1000 * latency, fault))
        failure = RuntimeError(fault) if fault else None
        self.environment.events.request.fire(
            request_type="POST", name=self.path, response_time=1000 * latency, response_length=0, exception=failure, context={}
        )

    def _flush_often(self) -> None:
        while True:
            gevent.sleep(FLUSH_S)
            self._flush()

    def _flush(self) -> None:
        if self.samples:
            sent, self.samples = self.samples, []
            self.runner.send_message("headgate_samples", {"samples": sent})


def _headers(lane: dict[str, object]) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if not lane["cache"]:
        headers["X-Headgate-Cache"] = "off"
    if lane["cohort"]:
        headers["X-Headgate-Cohort"] = str(lane["cohort"])
    return headers


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment, runner, **_) -> None:  # type: ignore[no-untyped-def]
    """Who sends listens to the conductor, and the conductor to who sends."""
    if isinstance(runner, WorkerRunner | LocalRunner):
        sender = Sender(environment)
        runner.register_message("headgate_prepare", lambda msg, **_: sender.prepare(msg.data))
        runner.register_message("headgate_part", lambda msg, **_: sender.begin(msg.data))
    if isinstance(runner, MasterRunner | LocalRunner):
        conductor = Conductor(runner)
        runner.register_message("headgate_samples", lambda msg, **_: conductor.take(msg.data))
        runner.register_message("headgate_done", lambda msg, **_: conductor.note_done(msg.data))
        environment.events.test_start.add_listener(lambda **_: gevent.spawn(conductor.conduct))
