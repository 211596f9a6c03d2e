"""The gateway's answers, over ASGI; a real process of it is in tests/contract."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from made_up_deliveries import argilla, label_studio
from starlette.testclient import TestClient

from headgate.data.delivery_secrets import read_secrets, sign
from headgate.data.ingest import ingest
from headgate.data.landing import landed
from headgate.data.table import DatasetTable
from headgate.errors import Unavailable
from headgate.lake import Lake, open_lake
from headgate.settings import Gateway as GatewaySettings
from headgate.settings import ModelSettings, Settings
from stack.annotation_gateway import Gateway, create_app

NOW = 1_769_860_800
TOKEN, OF_TICKETS, KEY = "t" * 32, "o" * 32, "whsec_" + base64.b64encode(b"k" * 32).decode()
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LABELS = ("positive", "unsubscribe", "other")


class Server:
    def __init__(self) -> None:
        self.up, self.events = True, list[tuple[str, list[str]]]()

    def __call__(self, dataset: str, uris: Sequence[str]) -> None:
        if not self.up:
            raise Unavailable("the Prefect server did not take it")
        self.events.append((dataset, list(uris)))


@pytest.fixture
def prefect() -> Server:
    return Server()


def client_of(lake: Lake, prefect: Server) -> TestClient:
    models = {"replies": ModelSettings(dataset="replies", labels=LABELS), "tickets": ModelSettings(dataset="tickets")}
    settings = Settings(models=models, gateway=GatewaySettings(max_body_bytes=4096))
    secrets = read_secrets(
        {"HEADGATE_WEBHOOK_SECRETS": f"{TOKEN} {KEY}", "HEADGATE_WEBHOOK_SECRETS_TICKETS": OF_TICKETS}, ["replies", "tickets"]
    )
    return TestClient(create_app(Gateway(lake, settings, secrets, prefect, lambda: NOW)), raise_server_exceptions=False)


@pytest.fixture
def client(folder_lake: Lake, prefect: Server) -> TestClient:
    return client_of(folder_lake, prefect)


def signed(payload: Any, at: int = NOW, key: str = KEY) -> dict[str, Any]:
    body = json.dumps(payload).encode()
    signature = sign(key, "msg_1", at, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature, "content-type": "application/json"}
    return {"content": body, "headers": headers}


def test_a_label_studio_annotation_lands_is_announced_and_ingested_once(client: TestClient, folder_lake: Lake, prefect: Server) -> None:
    answers = [client.post("/landing/replies/label-studio", json=label_studio(), headers=BEARER) for _ in range(2)]
    (key,) = landed(folder_lake, "replies")
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json() for answer in answers] == [{"landed": key, "rows": 1, "new": True}, {"landed": key, "rows": 1, "new": False}]
    assert prefect.events == [("replies", [folder_lake.join(key)])] * 2
    result = ingest(folder_lake, "replies", LABELS)
    assert (result.files, result.added, result.quarantined) == (1, 1, 0)


def test_a_signed_argilla_response_lands(client: TestClient, folder_lake: Lake) -> None:
    answer = client.post("/landing/replies/argilla", **signed(argilla("unsubscribe")))
    assert answer.status_code == 200, answer.text
    ingest(folder_lake, "replies", LABELS)
    version = DatasetTable(folder_lake, "replies").latest()
    assert version is not None
    assert version.rows == 1


def test_rows_of_ones_own_land_by_token(client: TestClient, folder_lake: Lake) -> None:
    body = b'{"text": "yes", "label": "positive"}\n{"text": "no", "label": "other"}\n'
    answer = client.post("/landing/replies/jsonl", content=body, headers=BEARER | {"Content-Type": "application/x-ndjson; charset=utf-8"})
    assert (answer.status_code, answer.json()["rows"]) == (200, 2)
    assert ingest(folder_lake, "replies", LABELS).added == 2


def test_the_same_on_s3(s3_uri: str, prefect: Server) -> None:
    lake = open_lake(s3_uri)
    answer = client_of(lake, prefect).post("/landing/replies/label-studio", json=label_studio(), headers=BEARER)
    assert answer.status_code == 200
    assert prefect.events == [("replies", [f"{s3_uri}/{answer.json()['landed']}"])]
    assert landed(lake, "replies") == [answer.json()["landed"]]


def test_while_prefect_is_down_the_file_is_landed_all_the_same(client: TestClient, folder_lake: Lake, prefect: Server) -> None:
    prefect.up = False
    answer = client.post("/landing/replies/label-studio", json=label_studio(), headers=BEARER)
    assert answer.status_code == 200
    assert landed(folder_lake, "replies") == [answer.json()["landed"]]
    assert prefect.events == []


def test_an_event_that_brings_no_annotation_is_answered_and_nothing_lands(client: TestClient, folder_lake: Lake, prefect: Server) -> None:
    answer = client.post("/landing/replies/label-studio", json={"action": "TASKS_CREATED", "tasks": []}, headers=BEARER)
    expected = "TASKS_CREATED: expected one of ANNOTATIONS_CREATED, ANNOTATION_CREATED, ANNOTATION_UPDATED"
    assert (answer.status_code, answer.json()) == (200, {"landed": None, "rows": 0, "ignored": expected})
    assert landed(folder_lake, "replies") == []
    assert prefect.events == []


def refused(answer: Any, status: int, title: str, detail: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "about:blank", "title": title, "status": status, "detail": detail}
    assert answer.status_code == status


UNKNOWN = "the token or signature is not one of those that this server knows"


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "expected Authorization: Bearer <token>, or the three headers of a signed webhook, found neither"),
        ({"Authorization": f"Bearer {TOKEN}x"}, UNKNOWN),
        ({"Authorization": "Bearer "}, UNKNOWN),
        ({"Authorization": f"Bearer {KEY}"}, UNKNOWN),
        ({"Authorization": "Basic %%%"}, UNKNOWN),
        ({"webhook-id": "1", "webhook-timestamp": str(NOW), "webhook-signature": "v1,AAAA"}, UNKNOWN),
        (
            {"webhook-id": "1", "webhook-timestamp": str(NOW - 301), "webhook-signature": "v1,AAAA"},
            f"expected a webhook-timestamp within 300 s of now, found '{NOW - 301}'; check both clocks",
        ),
    ],
)
def test_without_a_known_secret_nobody_comes_in_nor_learns_which_data_sets_there_are(
    client: TestClient, folder_lake: Lake, headers: dict[str, str], detail: str
) -> None:
    for dataset in ("replies", "nothing-here"):
        answer = client.post(f"/landing/{dataset}/label-studio", json=label_studio(), headers=headers)
        refused(answer, 401, "Unauthorized", detail)
        assert answer.headers["www-authenticate"] == 'Bearer realm="headgate"'
    assert landed(folder_lake, "replies") == []


def test_a_delivery_that_is_replayed_later_or_changed_is_refused(client: TestClient) -> None:
    late = client.post("/landing/replies/argilla", **signed(argilla(), at=NOW - 301))
    assert late.status_code == 401
    changed = signed(argilla())
    changed["content"] = changed["content"].replace(b"positive", b"negative")
    refused(client.post("/landing/replies/argilla", **changed), 401, "Unauthorized", UNKNOWN)


def test_a_secret_of_one_data_set_opens_no_other(client: TestClient) -> None:
    given = {"Authorization": f"Bearer {OF_TICKETS}"}
    answer = client.post("/landing/replies/label-studio", json=label_studio(), headers=given)
    refused(answer, 403, "Forbidden", "the secret belongs to another data set than 'replies'")
    assert client.post("/landing/tickets/label-studio", json=label_studio(), headers=given).status_code == 200
    refused(client.post("/landing/s3", json={}, headers=given), 403, "Forbidden", "the secret is of one data set only")


def test_an_unknown_data_set_and_an_unknown_address_are_told(client: TestClient) -> None:
    answer = client.post("/landing/reples/label-studio", json=label_studio(), headers=BEARER)
    refused(answer, 404, "Not Found", "data set 'reples': expected one of replies, tickets")
    assert client.post("/landing/..%2f..%2fetc/label-studio", json=label_studio(), headers=BEARER).status_code == 404
    assert client.get("/nothing").json() == {"type": "about:blank", "title": "Not Found", "status": 404}
    assert client.get("/landing/replies/argilla").json() == {"type": "about:blank", "title": "Method Not Allowed", "status": 405}


def test_a_large_body_is_refused_whether_it_says_its_length_or_not(client: TestClient, folder_lake: Lake) -> None:
    detail = "expected at most 4096 bytes, found more; post fewer rows at once, or land a file"
    body = b'{"text": "' + b"x" * 5000 + b'", "label": "positive"}'
    headers = BEARER | {"Content-Type": "application/json"}
    refused(client.post("/landing/replies/jsonl", content=body, headers=headers), 413, "Content Too Large", detail)
    in_parts = client.post("/landing/replies/jsonl", content=iter([body[:3000], body[3000:]]), headers=headers)
    refused(in_parts, 413, "Content Too Large", detail)
    assert landed(folder_lake, "replies") == []


def test_another_content_type_is_refused(client: TestClient) -> None:
    answer = client.post("/landing/replies/label-studio", content=b"x=1", headers=BEARER | {"Content-Type": "text/html"})
    expected = "expected Content-Type application/json without Content-Encoding, found 'text/html'"
    refused(answer, 415, "Unsupported Media Type", expected)
    zipped = BEARER | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert client.post("/landing/replies/label-studio", content=b"{}", headers=zipped).status_code == 415


@pytest.mark.parametrize(
    ("path", "content", "detail"),
    [
        ("label-studio", b"{", "expected a JSON object, found broken JSON: Expecting property name enclosed in double quotes at column 2"),
        ("label-studio", b"{}", "expected a Label Studio webhook with an action, found the fields none"),
        ("argilla", b'{"type": "response.created"}', "response.created: expected data with a record that has fields, found none"),
        (
            "jsonl",
            b'{"text": "a", "label": "othr"}',
            "expected rows with text and label, found 1 bad one(s):\nline 1: label: unknown 'othr'; "
            "expected one of other, positive, unsubscribe",
        ),
        (
            "jsonl",
            b'{"text": "a", "label": "other", "annotated_at": "9000-01-01"}',
            "expected rows with text and label, found 1 bad one(s):\nline 1: annotated_at: expected a time not in the future, "
            "found 9000-01-01T00:00:00+00:00",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    client: TestClient, folder_lake: Lake, path: str, content: bytes, detail: str
) -> None:
    answer = client.post(f"/landing/replies/{path}", content=content, headers=BEARER | {"Content-Type": "application/json"})
    refused(answer, 422, "Unprocessable Content", detail)
    assert landed(folder_lake, "replies") == []


def test_a_lake_that_cannot_be_written_is_no_success(folder_lake: Lake, prefect: Server, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir(exist_ok=True)
    (tmp_path / "lake" / "landing").write_text("a file where the folder should be")
    answer = client_of(folder_lake, prefect).post("/landing/replies/label-studio", json=label_studio(), headers=BEARER)
    refused(answer, 503, "Service Unavailable", "the delivery could not be written; send it again")
    assert prefect.events == []


def notification(*keys: str) -> dict[str, Any]:
    event = {"eventSource": "ceph:s3", "eventName": "ObjectCreated:Put"}
    return {"Records": [event | {"s3": {"bucket": {"name": "b"}, "object": {"key": key}}} for key in keys]}


def test_an_object_stores_notification_is_passed_on_and_asked_for_again_while_prefect_is_down(s3_uri: str, prefect: Server) -> None:
    client = client_of(open_lake(s3_uri), prefect)
    body = notification("lake/landing/replies/a.csv", "lake/landing/reples/b.csv", "lake/x")
    for record in body["Records"]:
        record["s3"]["bucket"]["name"] = s3_uri.split("/")[2]
    prefect.up = False
    refused(
        client.post("/landing/s3", json=body, headers=BEARER),
        503,
        "Service Unavailable",
        "the arrival could not be announced; send the notification again",
    )
    prefect.up = True
    by_password = {"Authorization": "Basic " + base64.b64encode(f"headgate:{TOKEN}".encode()).decode()}
    answer = client.post("/landing/s3", json=body, headers=by_password)
    reasons = [
        f"s3://{s3_uri.split('/')[2]}/lake/x: expected an object under {s3_uri}/landing/<data set>/",
        f"{s3_uri}/landing/reples/b.csv: expected a data set of replies, tickets",
    ]
    assert (answer.status_code, answer.json()) == (200, {"announced": {"replies": 1}, "ignored": 2, "reasons": reasons})
    assert prefect.events == [("replies", [f"{s3_uri}/landing/replies/a.csv"])]


def test_events_that_write_nothing_are_ignored_with_the_reason(client: TestClient) -> None:
    removed = client.post("/landing/s3", json={"Records": [{"eventName": "ObjectRemoved:Delete"}] * 2}, headers=BEARER)
    reasons = ["ObjectRemoved:Delete: expected an object that was created"]
    assert removed.json() == {"announced": {}, "ignored": 2, "reasons": reasons}
    many = client.post("/landing/s3", json=notification(*(f"{number}.csv" for number in range(13))), headers=BEARER).json()
    assert (many["ignored"], len(many["reasons"]), many["reasons"][-1]) == (13, 11, "and 3 more")


def test_it_says_that_it_lives_without_a_secret(client: TestClient) -> None:
    assert (client.get("/ping").status_code, client.get("/ping").text) == (200, "ok\n")
