"""Whose call a request to AWS is, and how each protocol of AWS says no."""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from werkzeug import Request, Response

S3_OBJECTS = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
STATUSES = {
    "ExpiredTokenException": 403,
    "AccessDeniedException": 403,
    "InternalFailure": 500,
    "ServiceUnavailable": 503,
    "InternalServerError": 500,
}


@dataclass(frozen=True)
class Call:
    """One request as it arrived; `given` are its parameters where its body is JSON."""

    service: str
    region: str
    operation: str
    given: Mapping[str, Any]


def call_of(request: Request) -> Call:
    """From the credential scope of the signature (SigV4), and the way in which the service's protocol names an operation."""
    scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request", request.headers.get("Authorization", ""))
    region, service = scope.groups() if scope else ("us-east-1", "s3")
    target = request.headers.get("X-Amz-Target", "")
    given: Mapping[str, Any] = {}
    if service == "sagemaker" and request.path.endswith("/invocations"):
        operation = "InvokeEndpoint"
    elif target:
        operation, given = target.split(".")[-1], json.loads(_plain(request) or b"{}")
    elif service == "s3":
        operation = S3_OBJECTS.get(request.method, request.method)
    else:
        operation = parse_qs(request.get_data(as_text=True)).get("Action", [request.method])[0]
    return Call(service, region, operation, given)


def _plain(request: Request) -> bytes:
    """The body; boto3 compresses large ones of PutMetricData."""
    body = request.get_data()
    return gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body


def error(request: Request, code: str, message: str, status: int | None = None) -> Response:
    """The refusal in the protocol of the request."""
    status = status or STATUSES.get(code, 400)
    headers = {"x-amzn-ErrorType": code, "x-amzn-RequestId": "00000000-0000-0000-0000-000000000000"}
    if "X-Amz-Target" in request.headers or request.path.endswith("/invocations"):
        body = json.dumps({"__type": code, "message": message}).encode()
        return Response(body, status, headers, content_type="application/x-amz-json-1.1")
    said = f"<Code>{code}</Code><Message>{message}</Message>"
    query = request.mimetype == "application/x-www-form-urlencoded"
    xml = f"<ErrorResponse><Error><Type>Sender</Type>{said}</Error></ErrorResponse>" if query else f"<Error>{said}</Error>"
    return Response(xml, status, headers, content_type="text/xml")
