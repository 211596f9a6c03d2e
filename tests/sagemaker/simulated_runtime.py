"""InvokeEndpoint of the simulator: the traffic of an endpoint to real serving processes, its metrics and its captures.

From the API reference of InvokeEndpoint, and of the Developer Guide "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch",
"Capture data from real-time endpoint" and "Shadow variants". A shadow copy is sent before the caller has its answer (SageMaker:
beside it), so that tests need not wait. Captures of one request in two variants share no eventId here: join them by InferenceId.
"""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import httpx
from service_shapes import faults, refusal, service
from simulated_endpoints import Endpoint, Fleet
from werkzeug import Request, Response

if TYPE_CHECKING:
    from simulator import Simulator

GOLDEN = 0.6180339887498949
PASSED_ON = ("ContentType", "Accept", "CustomAttributes", "InferenceId")


class Even:
    """Numbers in [0, 1) that are spread evenly, so that n draws meet a share almost exactly."""

    def __init__(self) -> None:
        self._drawn = 0

    def draw(self) -> float:
        self._drawn += 1
        return self._drawn * GOLDEN % 1


@dataclass
class Answer:
    """What the container of a variant said; status 0: nothing."""

    status: int
    body: bytes
    content_type: str
    attributes: str | None
    latency_us: float


class Runtime:
    """All invocations of a simulator."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator
        self._http = httpx.Client(trust_env=False, limits=httpx.Limits(max_connections=64))
        self.timeout_s = 60.0
        self.reset()

    def reset(self) -> None:
        self._traffic, self._copies, self._sampled = Even(), Even(), Even()
        self._captured: dict[tuple[str, str, str], list[tuple[datetime, dict[str, Any]]]] = {}

    def close(self) -> None:
        self._http.close()

    def invoke(self, request: Request, region: str) -> Response:
        operation = service("sagemaker-runtime").operation_model("InvokeEndpoint")
        given = _parameters(request, operation.input_shape)
        if found := faults(given, operation.input_shape):
            return refused("ValidationError", refusal(found))
        endpoint = self._simulator.endpoint(region, given["EndpointName"])
        routes = endpoint.routes() if endpoint else []
        if not endpoint or not routes:
            return refused("ValidationError", f"Endpoint {given['EndpointName']} of account {self._simulator.account} not found.")
        route = self._route(routes, given.get("TargetVariant"))
        if route is None:
            return refused("ValidationError", f"Variant {given['TargetVariant']} not found for endpoint {endpoint.name}.")
        fleet, variant = route
        answer = self._ask(endpoint, fleet, variant, given)
        self._copy(endpoint, fleet, variant, given)
        return _answered(answer, variant, self._simulator.account, endpoint, region)

    def flush(self) -> None:
        """Write what was captured as JSON Lines to S3; SageMaker does it within minutes."""
        captured, self._captured = self._captured, {}
        for (uri, endpoint, variant), records in captured.items():
            bucket, prefix = urlsplit(uri).netloc, urlsplit(uri).path.strip("/")
            moment = records[0][0]
            name = f"{endpoint}/{variant}/{moment:%Y/%m/%d/%H}/{moment:%M-%S}-{moment.microsecond // 1000:03}-{uuid4()}.jsonl"
            body = "".join(json.dumps(record, separators=(",", ":")) + "\n" for _, record in records)
            self._simulator.backend("s3", "aws").put_object(bucket, f"{prefix}/{name}".lstrip("/"), body.encode())

    def _route(self, routes: list[tuple[Fleet, str, float]], target: str | None) -> tuple[Fleet, str] | None:
        fitting = [route for route in routes if target in (None, route[1])]
        left = self._traffic.draw() * sum(weight for *_, weight in fitting)
        for fleet, variant, weight in fitting:
            left -= weight
            if left < 0:
                return fleet, variant
        return fitting[-1][:2] if fitting else None

    def _copy(self, endpoint: Endpoint, fleet: Fleet, variant: str, given: Mapping[str, Any]) -> None:
        """Shadow: the part of the requests that the shadow's weight is of the production variant's."""
        for shadow in fleet.variants(("ShadowProductionVariants",)):
            name = shadow["VariantName"]
            if self._copies.draw() < fleet.weights[name] / fleet.weights[variant]:
                self._ask(endpoint, fleet, name, given)

    def _ask(self, endpoint: Endpoint, fleet: Fleet, variant: str, given: Mapping[str, Any]) -> Answer:
        url = self._simulator.address(endpoint.region, fleet.model(variant))
        members = service("sagemaker-runtime").operation_model("InvokeEndpoint").input_shape.members
        headers = {members[name].serialization["name"]: given[name] for name in PASSED_ON if name in given}
        start = time.perf_counter()
        try:
            said = self._http.post(f"{url}/invocations", content=given.get("Body", b""), headers=headers, timeout=self.timeout_s)
        except httpx.HTTPError as problem:
            answer = Answer(0, str(problem).encode(), "text/plain", None, 0)
        else:
            attributes = said.headers.get("x-amzn-sagemaker-custom-attributes")
            latency = (time.perf_counter() - start) * 1e6
            answer = Answer(said.status_code, said.content, said.headers.get("content-type", ""), attributes, latency)
        self._measure(endpoint, fleet, variant, answer)
        self._capture(endpoint, fleet, variant, given, answer)
        return answer

    def _measure(self, endpoint: Endpoint, fleet: Fleet, variant: str, answer: Answer) -> None:
        values = {
            "Invocations": 1.0,
            "Invocation4XXErrors": float(400 <= answer.status < 500),
            "Invocation5XXErrors": float(answer.status >= 500 or answer.status == 0),
            "InvocationModelErrors": float(not 200 <= answer.status < 300),
        } | ({"ModelLatency": answer.latency_us} if answer.status else {})
        self._simulator.put_metrics(endpoint.region, endpoint.name, variant, str(fleet.config["EndpointConfigName"]), values)

    def _capture(self, endpoint: Endpoint, fleet: Fleet, variant: str, given: Mapping[str, Any], answer: Answer) -> None:
        config = fleet.config.get("DataCaptureConfig", {})
        wanted = config.get("EnableCapture", True) if config else False
        if not wanted or not 200 <= answer.status < 300 or self._sampled.draw() * 100 >= config["InitialSamplingPercentage"]:
            return
        now = self._simulator.clock.now()
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        data = {}
        if modes & {"Input", "InputAndOutput"}:
            data["endpointInput"] = _captured(given.get("Body", b""), given.get("ContentType", ""), "INPUT", config)
        if modes & {"Output", "InputAndOutput"}:
            data["endpointOutput"] = _captured(answer.body, answer.content_type, "OUTPUT", config)
        metadata = {"eventId": str(uuid4()), "inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        metadata |= {"inferenceId": given["InferenceId"]} if "InferenceId" in given else {}
        record = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
        place = (config["DestinationS3Uri"], endpoint.name, variant)
        self._captured.setdefault(place, []).append((now, record))


def refused(code: str, message: str, status: int = 400, **more: Any) -> Response:
    body = json.dumps({"Message": message, "message": message} | more)
    return Response(body, status, {"x-amzn-ErrorType": code}, content_type="application/json")


def _parameters(request: Request, shape: Any) -> dict[str, Any]:
    named = {
        member.serialization["name"]: name for name, member in shape.members.items() if member.serialization.get("location") == "header"
    }
    given: dict[str, Any] = {name: request.headers[header] for header, name in named.items() if header in request.headers}
    return given | {"EndpointName": unquote(request.path.split("/")[2]), "Body": request.get_data()}


def _answered(answer: Answer, variant: str, account: str, endpoint: Endpoint, region: str) -> Response:
    if 200 <= answer.status < 300:
        headers = {"x-Amzn-Invoked-Production-Variant": variant}
        headers |= {"X-Amzn-SageMaker-Custom-Attributes": answer.attributes} if answer.attributes else {}
        return Response(answer.body, 200, headers, content_type=answer.content_type)
    said, status = answer.body.decode(errors="replace"), answer.status or 500
    logs = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group=/aws/sagemaker/Endpoints/{endpoint.name}"
    message = (
        f'Received {"server" if status >= 500 else "client"} error ({status}) from primary with message "{said}". '
        f"See {logs} in account {account} for more information."
        if answer.status
        else "Your invocation timed out while waiting for a response from container primary."
    )
    return refused(
        "ModelError", message, 424, OriginalStatusCode=status, OriginalMessage=said, LogStreamArn=f"arn:aws:logs:{region}:{account}"
    )


def _captured(body: bytes, content_type: str, mode: str, config: Mapping[str, Any]) -> dict[str, str]:
    kinds = config.get("CaptureContentTypeHeader", {})
    bare = content_type.split(";")[0].strip()
    for encoding, member in (("JSON", "JsonContentTypes"), ("CSV", "CsvContentTypes")):
        if bare in kinds.get(member, ()):
            return {"observedContentType": content_type, "mode": mode, "data": body.decode(), "encoding": encoding}
    return {"observedContentType": content_type, "mode": mode, "data": base64.b64encode(body).decode(), "encoding": "BASE64"}
