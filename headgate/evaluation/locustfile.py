"""What Locust runs in its own process: requests that start at set times, whether or not earlier ones were answered.

The plan is a JSON file named by HEADGATE_LOAD_PLAN: url, rate_per_s, requests, timeout_s, connections, texts, samples (file to write).
A sample is [intended start in s, start's delay in ms, latency from the intended start in ms, fault or null].
"""

import json
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

import gevent  # type: ignore[import-untyped]  # ships no types
from gevent.pool import Group  # type: ignore[import-untyped]  # ships no types
from geventhttpclient import HTTPClient
from locust import User, task

HEADERS = {"Content-Type": "application/json", "X-Headgate-Cache": "off"}


class Arrivals(User):  # type: ignore[misc]  # locust ships no usable types
    """One user that makes every request of the plan at its time."""

    @task  # type: ignore[untyped-decorator]
    def arrive(self) -> None:
        """Make all requests, write their samples and end the run."""
        plan = json.loads(Path(os.environ["HEADGATE_LOAD_PLAN"]).read_text())
        samples = self._requests(plan)
        Path(plan["samples"]).write_text(json.dumps(samples))
        self.environment.runner.quit()

    def _requests(self, plan: dict) -> list[tuple[float, float, float, str | None]]:  # type: ignore[type-arg]
        timeout = plan["timeout_s"]
        client = HTTPClient.from_url(plan["url"], concurrency=plan["connections"], connection_timeout=timeout, network_timeout=timeout)
        path = urlsplit(plan["url"]).path.rstrip("/") + "/invocations"
        bodies = [json.dumps({"instances": [{"text": text}]}).encode() for text in plan["texts"]]
        samples: list[tuple[float, float, float, str | None]] = []
        group, start = Group(), time.perf_counter() + 0.2
        for number in range(plan["requests"]):
            offset = number / plan["rate_per_s"]
            gevent.sleep(max(0.0, start + offset - time.perf_counter()))
            group.spawn(self._request, client, path, bodies[number % len(bodies)], start, offset, timeout, samples)
        group.join()
        return samples

    def _request(self, client, path, body, start, offset, timeout, samples) -> None:  # type: ignore[no-untyped-def]
        delay = time.perf_counter() - start - offset
        fault = None
        try:
            with gevent.Timeout(timeout):
                response = client.post(path, body, headers=HEADERS)
                response.read()
                fault = None if response.status_code == 200 else f"HTTP {response.status_code}"
        except gevent.Timeout:
            fault = f"no answer in {timeout:g} s"
        except Exception as broken:
            fault = f"{type(broken).__name__}: {broken}"
        latency = time.perf_counter() - start - offset
        samples.append((offset, 1000 * delay, 1000 * latency, fault))
        failure = RuntimeError(fault) if fault else None
        self.environment.events.request.fire(
            request_type="POST", name=path, response_time=1000 * latency, response_length=0, exception=failure, context={}
        )
