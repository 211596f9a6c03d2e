"""A SageMaker that tests can drive: moto's server, and over it what moto lacks of endpoints.

Real boto3 clients reach it over HTTP (`Simulator.client`). Every SageMaker request, and every answer of its own, is checked
against botocore's service model. Time moves by `clock.advance` alone. What it does not know it leaves to moto: models, ECR, S3,
STS, CloudWatch's metrics and alarms, application autoscaling. It is written from SageMaker's documentation; nobody compared it with
the real service.
"""

import io
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from simulated_alarms import Series, aware, evaluate, naive, teach_percentiles
from simulated_control import Control
from simulated_endpoints import Endpoint
from simulated_permissions import Document, missing, refusal
from simulated_rollout import Times
from simulated_runtime import Runtime
from simulated_wire import Call, call_of, error
from werkzeug import Request, Response
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

TICK_S = 15
Serve = Callable[[dict[str, Any]], str]


@dataclass
class Fault:
    """What the next calls of an operation get instead of, or (code None) after, their effect."""

    operation: str
    code: str | None
    message: str
    times: int
    region: str | None
    status: int | None

    def hits(self, call: Call) -> bool:
        return self.times > 0 and call.operation == self.operation and self.region in (None, call.region)


class Clock:
    """The simulator's time; it stands still between two calls of `advance`."""

    def __init__(self, tick: Callable[[], None], events: Callable[[], list[datetime]]) -> None:
        self._tick, self._events = tick, events
        self._now = datetime.now(UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so much time pass, with all that happens in it in its order."""
        end = self._now + timedelta(seconds=seconds)
        self._tick()
        while self._now < end:
            due = [event for event in self._events() if event > self._now]
            self._now = min([end, self._now + timedelta(seconds=TICK_S), *due])
            self._tick()


@dataclass
class Region:
    """What the simulator keeps of one region."""

    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    series: Series = field(default_factory=Series)


class Simulator:
    """One AWS account. `serve` is asked for the address of a serving process, given what DescribeModel says of the model."""

    account = DEFAULT_ACCOUNT_ID

    def __init__(self) -> None:
        teach_percentiles()
        self.lock = threading.RLock()
        self.runtime = Runtime(self)
        self._control = Control(self)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._clients: dict[tuple[str, str], Any] = {}
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._reset()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _reset(self) -> None:
        self.clock = Clock(self.tick, self._events)
        self.times = Times()
        self.silent_rollback = self.rollback_fails = False
        self.serve: Serve | None = None
        self.calls: list[Call] = []
        self.regions: dict[str, Region] = {}
        self.policies: list[Document] | None = None  # of whoever calls; None: anything is allowed
        self._stamps = 0
        self._faults: list[Fault] = []
        self._broken: dict[str, str] = {}
        self._addresses: dict[tuple[str, str], str] = {}

    def reset(self) -> None:
        """Forget everything, moto's part too."""
        with self.lock:
            self.runtime.reset()
            self._reset()
            moto_api_backend.reset()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.runtime.close()

    def client(self, service: str, region: str = "us-east-1", **config: Any) -> Any:
        """A boto3 client of this account; the retries are those of the keyword `retries`, none if it is not given."""
        key = (service, region)
        if config or key not in self._clients:
            settings = Config(**({"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}, "proxies": {}} | config))
            made = boto3.client(
                service, region, endpoint_url=self.url, aws_access_key_id="test", aws_secret_access_key="test", config=settings
            )
            if config:
                return made
            self._clients[key] = made
        return self._clients[key]

    # Faults

    def fail(
        self, operation: str, code: str, times: int = 1, message: str = "injected", *, region: str | None = None, status: int | None = None
    ) -> None:
        """The next calls of the operation (any service: UpdateEndpoint, PutMetricAlarm, PutObject ...) are refused with this code."""
        self._faults.append(Fault(operation, code, message, times, region, status))

    def lose_reply(self, operation: str, times: int = 1, *, region: str | None = None) -> None:
        """The next calls of the operation take effect, and the connection is cut before the answer."""
        self._faults.append(Fault(operation, None, "", times, region, None))

    def heal(self) -> None:
        """No faults from now on; models that were broken start again."""
        self._faults.clear()
        self._broken.clear()

    def break_model(
        self, model: str, why: str = "did not pass the ping health check. Please check CloudWatch logs for this endpoint."
    ) -> None:
        """Instances of the model do not come up from now on; those that run go on."""
        self._broken[model] = why

    # Time

    def tick(self) -> None:
        with self.lock:
            self._tick_endpoints()
            for name, region in self.regions.items():
                metrics = self.backend("cloudwatch", name)
                region.series.update(metrics.metric_data)
                evaluate(list(metrics.alarms.values()), region.series, self.clock.now())
            self._tick_endpoints()
        self.runtime.flush()

    def _tick_endpoints(self) -> None:
        for region in self.regions.values():
            for endpoint in list(region.endpoints.values()):
                endpoint.tick(self.clock.now())
                if endpoint.status == "Deleted":
                    del region.endpoints[endpoint.name]
                    region.tags.pop(endpoint.arn, None)

    def _events(self) -> list[datetime]:
        events = (endpoint.next_event() for region in self.regions.values() for endpoint in region.endpoints.values())
        return [event for event in events if event]

    def settle(self, limit_s: float = 28800) -> None:
        """Let time pass until nothing is in progress."""
        end = self.clock.now() + timedelta(seconds=limit_s)
        while (events := self._events()) and self.clock.now() < end:
            self.clock.advance(max(0.0, (min(events) - self.clock.now()).total_seconds()))

    # What the parts ask

    def stamp(self) -> datetime:
        """Now, a millisecond later each time, so that what is made in one moment has an order."""
        self._stamps += 1
        return self.clock.now() + timedelta(milliseconds=self._stamps)

    def region(self, name: str) -> Region:
        return self.regions.setdefault(name, Region())

    def endpoint(self, region: str, name: str) -> Endpoint | None:
        return self.region(region).endpoints.get(name)

    def backend(self, service: str, region: str) -> Any:
        """moto's own state of a service."""
        return get_backend(service)[self.account][region]  # type: ignore[call-overload]

    def put_metrics(self, region: str, endpoint: str, variant: str, config: str, values: Mapping[str, float]) -> None:
        """As SageMaker puts them: by endpoint and variant, and by configuration too ("Auto-Rollback Configuration and Monitoring")."""
        both = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
        data = [
            {"MetricName": name, "Value": value, "Dimensions": dimensions, "Timestamp": naive(self.clock.now())}
            for name, value in values.items()
            for dimensions in (both, [*both, {"Name": "EndpointConfigName", "Value": config}])
        ]
        with self.lock:
            self.backend("cloudwatch", region).put_metric_data("AWS/SageMaker", data)

    def in_alarm(self, region: str, names: Iterable[str]) -> str | None:
        alarms = self.backend("cloudwatch", region).alarms
        return next((name for name in names if name in alarms and alarms[name].state_value == "ALARM"), None)

    def refuses_to_start(self, region: str, model: str, variant: str) -> str | None:
        subject = f"The primary container for production variant {variant} "
        if model in self._broken:
            return subject + self._broken[model]
        if model not in self.backend("sagemaker", region)._models:
            return f'Could not find model "{self.arn(region, "model", model)}".'
        try:
            self.address(region, model)
        except Exception as problem:
            return f"{subject}did not pass the ping health check. {problem}"[:1024]
        return None

    def address(self, region: str, model: str) -> str:
        """Of a serving process of the model, started when it is first asked for; none where nothing serves."""
        with self.lock:
            if (region, model) not in self._addresses and self.serve:
                self._addresses[region, model] = self.serve(self.backend("sagemaker", region).describe_model(model).response_object)
            return self._addresses.get((region, model), "http://127.0.0.1:9")

    def images(self, region: str, model: str) -> list[dict[str, Any]]:
        found = self.backend("sagemaker", region)._models.get(model)
        containers = [found.primary_container, *(found.containers or ())] if found else []
        image = next((container["Image"] for container in containers if container.get("Image")), None)
        return [{"SpecifiedImage": image, "ResolvedImage": image}] if image else []

    def arn(self, region: str, kind: str, name: str) -> str:
        return f"arn:aws:sagemaker:{region}:{self.account}:{kind}/{name.lower()}"

    # The server

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        request = Request(environ)
        environ["wsgi.input"] = io.BytesIO(request.get_data())
        call = call_of(request)
        self.calls.append(call)
        fault = next((fault for fault in self._faults if fault.hits(call)), None)
        if fault:
            fault.times -= 1
            if fault.code:
                return error(request, fault.code, fault.message, fault.status)(environ, start)
        try:
            need = None if self.policies is None else missing(self.policies, request, call, self.account)
            response = error(request, "AccessDeniedException", refusal(need)) if need else self._respond(request, call)
        except Exception as problem:
            return error(request, "InternalFailure", f"the simulator itself failed: {problem!r}")(environ, start)
        if fault:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return response(environ, start)

    def _respond(self, request: Request, call: Call) -> Response:
        if call.operation == "InvokeEndpoint":
            return self.runtime.invoke(request, call.region)
        if call.service == "sagemaker":
            with self.lock:
                return self._control.respond(request, call)
        if call.service == "monitoring":
            with self.lock:
                return self._metrics(request, call)
        return self.forward(request)

    def forward(self, request: Request) -> Response:
        body, status, headers = run_wsgi_app(self._moto, request.environ, buffered=True)
        return Response(body, status, headers)

    def _metrics(self, request: Request, call: Call) -> Response:
        """What is put without a time is put now, by the simulator's clock; a new alarm has no data yet."""
        backend = self.backend("cloudwatch", call.region)
        if call.operation == "GetMetricData":
            return self._measured(request, call, backend)
        before, alarms = len(backend.metric_data), dict(backend.alarms)
        response = self.forward(request)
        put = backend.metric_data[before:]
        if theirs := next((datum.namespace for datum in put if datum.namespace.startswith("AWS/")), None):
            del backend.metric_data[before:]
            return error(request, "InvalidParameterValue", f"The value {theirs} for parameter Namespace is invalid.")
        for datum in put:
            if abs((aware(datum.timestamp) - datetime.now(UTC)).total_seconds()) < 5:
                datum.timestamp = naive(self.clock.now())
        for name, alarm in backend.alarms.items():
            if alarm is not alarms.get(name):
                alarm.state_value = alarms[name].state_value if name in alarms else "INSUFFICIENT_DATA"
        return response

    def _measured(self, request: Request, call: Call, backend: Any) -> Response:
        """moto looks at each datum for each period of each query: it is shown those alone that the queries ask for."""
        metrics = [query["MetricStat"]["Metric"] for query in call.given["MetricDataQueries"]]
        asked = {frozenset((one["Name"], one["Value"]) for one in metric["Dimensions"]) for metric in metrics}
        everything = backend.metric_data
        backend.metric_data = [one for one in everything if frozenset((by.name, by.value) for by in one.dimensions) in asked]
        try:
            return self.forward(request)
        finally:
            backend.metric_data = everything


class _Quiet(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        return


@contextmanager
def simulated() -> Iterator[Simulator]:
    simulator = Simulator()
    try:
        yield simulator
    finally:
        simulator.close()
