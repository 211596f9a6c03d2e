"""What endpoints on SageMaker answer reaches the lake: called as users call, captured, copied and shipped, each answer once."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from answering_servers import Answering, digest_of, revision, target_on
from simulated_rollout import Times
from simulator import Simulator

import deployments.sagemaker_clients
from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_captures import Captures
from deployments.target import Plan, Split
from headgate.lake import FolderLake, open_lake
from headgate.monitoring.hourly_log import counted_hours, read_log
from headgate.monitoring.hours import count_hours
from headgate.release.configuration import Configuration
from headgate.serving.identifiers import PredictionIds
from headgate.settings import load_settings
from stack.shipping import collect_all, ship_all

ENDPOINT = "replies-production"
TOML = """
home = "home"
lake = "lake"

[models.replies]
dataset = "replies"
labels = ["positive", "other"]

[[models.replies.rollout.stages]]
environment = "eu"
target = "ireland"

[[models.replies.rollout.stages]]
environment = "production"
target = "virginia"
""" + "".join(
    f"""
[sagemaker.{name}]
region = "{region}"
role_arn = "arn:aws:iam::123456789012:role/headgate-endpoint"
repository = "123456789012.dkr.ecr.{region}.amazonaws.com/headgate"
captures = "s3://captures/{name}"
instance_count = 4
ready_s = 600
"""
    for name, region in {"virginia": "us-east-1", "ireland": "eu-west-1"}.items()
)


class Numbered(Answering):
    """They give predictions the ids that a server gives."""

    def _answer(self, release: str, model: str, texts: int) -> bytes | None:
        if (said := super()._answer(release, model, texts)) is None:
            return None
        answer = json.loads(said)
        for one in answer["predictions"]:
            one["prediction_id"] = PredictionIds(digest_of(release)).fresh().decode()
        return json.dumps(answer).encode()


@pytest.fixture
def target(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SageMakerTarget]:
    """The target in virginia, as headgate.toml names it, with servers behind it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(TOML)
    load_settings.cache_clear()
    monkeypatch.setattr(deployments.sagemaker_clients, "clients_of", cache(deployments.sagemaker_clients.clients_of))  # they take a while
    simulator.times = Times(provision_s=20, shift_s=5, scale_s=5, delete_s=5)
    simulator.client("s3").create_bucket(Bucket="captures")
    servers = Numbered()
    simulator.serve = servers.address
    yield target_on(simulator, load_settings().sagemaker["virginia"])
    servers.close()
    load_settings.cache_clear()


def call(simulator: Simulator, *texts: str) -> list[str]:
    """A user's call; the ids of its predictions."""
    body = json.dumps({"instances": [{"text": text} for text in texts]}).encode()
    said = simulator.client("sagemaker-runtime").invoke_endpoint(EndpointName=ENDPOINT, Body=body, ContentType="application/json")
    return [one["prediction_id"] for one in json.loads(said["Body"].read())["predictions"]]


def ship() -> None:
    collect_all(load_settings())
    ship_all(load_settings())


def rows() -> list[dict[str, Any]]:
    lake = open_lake(load_settings().lake)
    return [json.loads(line) for key in lake.keys("predictions/replies") for line in lake.read(key).splitlines()]


def ids() -> list[str]:
    return sorted(row["prediction_id"] for row in rows())


def test_what_users_were_answered_is_in_the_lake_once_and_counted(simulator: Simulator, target: SageMakerTarget) -> None:
    target.deploy(ENDPOINT, revision("old"))
    given = [name for number in range(6) for name in call(simulator, "Call me", f"No {number}")]
    target.invoke(ENDPOINT, {"instances": [{"text": "our own question"}]}, cohort="champion")
    target.invoke(ENDPOINT, {"instances": [{"text": "our own question"}]})
    simulator.clock.advance(60)
    ship()
    assert ids() == sorted(given)
    given += call(simulator, "later")
    simulator.clock.advance(60)
    for _ in range(3):
        ship()
    assert ids() == sorted(given)
    told = {(row["model"], row["release"], row["cohort"], row["label"], row["latency_ms"], "text" in row) for row in rows()}
    assert told == {("replies", "old", "champion", "positive", None, False)}
    lake, today = open_lake(load_settings().lake), datetime.now(UTC).date()
    read_log(lake, "replies", lambda found: count_hours(found, lambda _: False), today, 14, 8)
    hours = counted_hours(lake, "replies", today - timedelta(days=1), today + timedelta(days=1))
    assert sum(hour.answers for hour in hours) == len(given)


def test_texts_are_kept_where_the_release_keeps_them_alone(simulator: Simulator, target: SageMakerTarget) -> None:
    target.deploy(ENDPOINT, revision("old").model_copy(update={"configuration": Configuration(log_text="full")}))
    call(simulator, " Call me ")
    target.deploy(ENDPOINT, revision("new").model_copy(update={"configuration": Configuration(log_text="none")}))
    target.set_split(ENDPOINT, Split(shadow=100))
    call(simulator, "Call them")
    simulator.clock.advance(60)
    ship()
    assert sorted((row["release"], row["cohort"], row.get("text")) for row in rows()) == [
        ("new", "shadow", None),
        ("old", "champion", "Call me"),
        ("old", "champion", "Call them"),
    ]


def test_both_fleets_of_an_update_are_shipped_and_late_captures_after_it(simulator: Simulator, target: SageMakerTarget) -> None:
    target.deploy(ENDPOINT, revision("old"))
    target.deploy(ENDPOINT, revision("new"))
    target.submit(ENDPOINT, Plan(release="new", type="CANARY", size_percent=25, wait_interval_s=60, bake_time_s=0, max_error_rate=0.05))
    simulator.clock.advance(40)
    given = [name for _ in range(16) for name in call(simulator, "Call me")]
    simulator.clock.advance(40)
    ship()
    held = [name for _ in range(4) for name in call(simulator, "Call me")]
    simulator.settle()
    target.rollback(ENDPOINT)
    ship()
    assert ids() == sorted(given + held)
    assert {row["release"] for row in rows()} == {"old", "new"}


def test_a_region_that_does_not_answer_is_told_of_and_the_others_go_on(
    simulator: Simulator, target: SageMakerTarget, caplog: pytest.LogCaptureFixture
) -> None:
    target.deploy(ENDPOINT, revision("old"))
    given = call(simulator, "Call me")
    simulator.clock.advance(60)
    simulator.fail("GetObject", "AccessDenied", times=1, message="not today", region="eu-west-1", status=403)  # of a bucket: its list
    with caplog.at_level(logging.WARNING):
        ship()
    assert [one.getMessage() for one in caplog.records if one.name == "headgate.shipping"] == [
        "replies-eu: what ireland answered was not copied, the next look tries again: captures in s3://captures/ireland/replies-eu-: "
        "AWS answered AccessDenied: not today; grant it to the account of these flows: docs/sagemaker.md"
    ]
    assert ids() == given


class Killed(BaseException):
    """Stands for kill -9."""


def mortal(act: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """The same with a kill before and after it, once so many moments are over."""

    def acts(*args: Any, **kwargs: Any) -> Any:
        _moment(left)
        found = act(*args, **kwargs)
        _moment(left)
        return found

    return acts


def _moment(left: list[int]) -> None:
    left[0] -= 1
    if left[0] < 0:
        raise Killed


STEPS = ((Captures, "folders"), (Captures, "keys"), (Captures, "body"), (Path, "replace"), (Path, "unlink"), (FolderLake, "put_if_absent"))


def test_a_kill_between_any_two_steps_loses_and_doubles_no_answer(
    simulator: Simulator, target: SageMakerTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.deploy(ENDPOINT, revision("old"))
    left, given = [10_000], list[str]()
    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, mortal(getattr(owner, name), left))
    for moment in range(200):
        given += call(simulator, "Call me")
        simulator.clock.advance(1)
        left[0], killed = moment, False
        try:
            ship()
        except Killed:
            killed = True
        left[0] = 10_000
        ship()
        assert ids() == sorted(given), moment
        if not killed:
            assert moment > 12
            return
    pytest.fail("expected an end to the moments")
