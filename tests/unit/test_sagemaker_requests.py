"""What is asked of SageMaker: names, tags, plans, alarms, bounds; against botocore's own model of the services, without any call."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_bounds import deployment_faults, model_faults
from deployments.sagemaker_captures import pairs, read_calls
from deployments.sagemaker_clients import Clients, answered
from deployments.sagemaker_metrics import measured
from deployments.sagemaker_objects import Cast, cast_of, config_request, model_request, named, read_tags, revision_of
from deployments.sagemaker_plan import alarms, deployment_config, share_of
from deployments.target import Plan, Revision
from headgate.errors import BadInput, HeadgateError, NotFound, Refused, Unavailable
from headgate.release.configuration import Configuration
from headgate.settings import SageMakerRegion

PLACE = SageMakerRegion(
    region="eu-west-1",
    role_arn="arn:aws:iam::123456789012:role/headgate-endpoint",
    repository="123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate",
    captures="s3://captures/answers",
    instance_count=4,
)
REVISION = Revision(
    release="r" * 64,
    bundle_digest="b" * 64,
    bundle="out",
    model="replies",
    signature="untrusted comment: x\nRUQ=",
    configuration=Configuration(log_text="full", max_cached=7, workers=2),
    image_digest=f"sha256:{'a' * 64}",
)
PLAN = Plan(release="r1", type="CANARY", size_percent=25, wait_interval_s=600, max_error_rate=0.01, max_p99_ms=150)
ENDPOINT = "replies-production"


@pytest.fixture(scope="module")
def client() -> Callable[[str], Any]:
    return {name: made(name) for name in ("sagemaker", "cloudwatch")}.__getitem__


def made(name: str) -> Any:
    """A client that reaches nobody."""
    return boto3.client(name, "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x", endpoint_url="http://127.0.0.1:9")


def faults(client: Callable[[str], Any], operation: str, request: dict[str, Any], service: str = "sagemaker") -> list[str]:
    return model_faults(client(service).meta.service_model.operation_model(operation), request)


def test_every_request_is_one_that_the_service_model_knows(client: Callable[[str], Any]) -> None:
    vpc = PLACE.model_copy(update={"subnets": ("subnet-1",), "security_groups": ("sg-1",), "kms_key": "alias/headgate"})
    assert faults(client, "CreateModel", model_request(ENDPOINT, REVISION, vpc)) == []
    for cast in (
        Cast(champion="m1"),
        Cast(champion="m1", challenger="m2", shape="side_by_side", previous="c1"),
        Cast(champion="m1", challenger="m2", shape="shadow", shadow_percent=20),
    ):
        assert faults(client, "CreateEndpointConfig", config_request(ENDPOINT, cast, vpc, keep_texts=True)) == []
    for alarm in alarms(ENDPOINT, "c1", PLAN, 2000):
        assert faults(client, "PutMetricAlarm", alarm, "cloudwatch") == []
    for routing in ("blue_green", "rolling"):
        plan = deployment_config(PLAN, PLACE.model_copy(update={"routing": routing}), "c1")
        update = {"EndpointName": ENDPOINT, "EndpointConfigName": "c1", "DeploymentConfig": plan}
        assert faults(client, "UpdateEndpoint", update) + deployment_faults(plan, 4) == []


def test_a_model_reads_back_as_the_revision_that_it_was_made_of() -> None:
    request = model_request(ENDPOINT, REVISION, PLACE)
    image = f"{PLACE.repository}@{REVISION.image_digest}"
    assert revision_of(request, read_tags(request["Tags"])) == REVISION.model_copy(update={"bundle": image})
    assert request["PrimaryContainer"]["Environment"]["HEADGATE_SERVE_RELEASE"] == REVISION.release
    with pytest.raises(Refused, match="expected Headgate's tags, found none; rename yours"):
        revision_of(request, {})


def test_a_configuration_reads_back_as_its_cast() -> None:
    for cast in (
        Cast(champion="m1", previous="c0"),
        Cast(champion="m1", challenger="m2", shape="side_by_side"),
        Cast(champion="m1", challenger="m2", shape="shadow", shadow_percent=20),
    ):
        request = config_request(ENDPOINT, cast, PLACE, keep_texts=False)
        assert cast_of(request, read_tags(request["Tags"])) == cast


def test_names_are_digests_of_the_content_and_never_too_long() -> None:
    assert named("e" * 63, {"a": 1}) == named("e" * 63, {"a": 1}) != named("e" * 63, {"a": 2})
    assert len(named("e" * 63, {})) == 63
    first, again, other = (config_request(ENDPOINT, Cast(champion=name), PLACE, keep_texts=False) for name in ("m1", "m1", "m2"))
    assert first == again
    assert first["EndpointConfigName"] != other["EndpointConfigName"]


def test_texts_are_captured_only_where_the_release_keeps_them() -> None:
    modes = [
        [one["CaptureMode"] for one in config_request(ENDPOINT, Cast(champion="m"), PLACE, keep)["DataCaptureConfig"]["CaptureOptions"]]
        for keep in (False, True)
    ]
    assert modes == [["Output"], ["Output", "Input"]]


def test_a_model_needs_the_digest_of_its_image() -> None:
    with pytest.raises(BadInput) as caught:
        model_request(ENDPOINT, REVISION.model_copy(update={"image_digest": None}), PLACE)
    assert str(caught.value) == (
        f"release {'r' * 12}: expected the digest of its serving image, found none; build it, push it to "
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate and name it (docs/sagemaker.md)"
    )


def test_a_canary_plan_is_a_blue_green_policy() -> None:
    policy = deployment_config(PLAN, PLACE, "c1")
    assert policy == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 600,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25},
            },
            "TerminationWaitInSeconds": 300,
            "MaximumExecutionTimeoutInSeconds": 4500,
        },
        "AutoRollbackConfiguration": {
            "Alarms": [{"AlarmName": f"headgate-c1-{kind}"} for kind in ("5xx", "model-errors", "latency", "stop")]
        },
    }


def test_the_alarms_watch_the_new_fleet_with_the_plans_limits() -> None:
    found = {one["AlarmName"].removeprefix("headgate-c1-"): one for one in alarms(ENDPOINT, "c1", PLAN, 2000)}
    fleet = [
        {"Name": "EndpointName", "Value": ENDPOINT},
        {"Name": "VariantName", "Value": "champion"},
        {"Name": "EndpointConfigName", "Value": "c1"},
    ]
    assert [found[kind]["Dimensions"] for kind in ("5xx", "model-errors", "latency")] == [fleet] * 3
    assert [(found[kind]["MetricName"], found[kind]["Threshold"]) for kind in found] == [
        ("Invocation5XXErrors", 0.01),
        ("InvocationModelErrors", 0.01),
        ("ModelLatency", 150_000),
        ("ReleaseFailed", 0.0),
    ]
    unknown = alarms(ENDPOINT, "c1", PLAN.model_copy(update={"max_p99_ms": None}), 2000)
    assert unknown[2]["Threshold"] == 2_000_000


@pytest.mark.parametrize(
    ("plan", "instances", "expected"),
    [
        ({"size_percent": 60}, 4, "CanarySize: expected 1 to 50 percent of the new fleet, found 60"),
        ({"type": "LINEAR", "size_percent": 5}, 4, "LinearStepSize: expected 10 to 50 percent of the new fleet, found 5"),
        (
            {},
            1,
            "CanarySize: expected at most 50% of the new fleet, found 1 of its 1 instance(s): traffic moves by whole instances; "
            "set instance_count to 2 or more",
        ),
    ],
)
def test_what_only_the_documents_refuse_is_found_too(plan: dict[str, Any], instances: int, expected: str) -> None:
    config = deployment_config(PLAN.model_copy(update=plan), PLACE, "c1")
    assert deployment_faults(config, instances) == [expected]


def test_a_plan_without_alarms_or_with_two_policies_is_refused() -> None:
    blue_green, rolling = (deployment_config(PLAN, PLACE.model_copy(update={"routing": name}), "c1") for name in ("blue_green", "rolling"))
    both = {**blue_green, **rolling, "AutoRollbackConfiguration": {"Alarms": []}}
    assert deployment_faults(both, 4) == [
        "expected one update policy, blue/green or rolling, found BlueGreenUpdatePolicy and RollingUpdatePolicy",
        "expected 1 to 10 alarms, without which SageMaker never goes back by itself, found 0",
    ]


def test_a_canary_waits_once_however_many_instances_there_are() -> None:
    plan = PLAN.model_copy(update={"type": "CANARY", "size_percent": 10, "wait_interval_s": 3600})
    assert deployment_faults(deployment_config(plan, PLACE.model_copy(update={"ready_s": 600}), "c1"), 20) == []


def test_waits_that_last_longer_than_an_update_may_are_refused() -> None:
    config = deployment_config(PLAN.model_copy(update={"type": "LINEAR", "size_percent": 10, "wait_interval_s": 3600}), PLACE, "c1")
    (fault,) = deployment_faults(config, 20)
    assert fault.startswith("expected waiting times that add up to less than 28800 s, found 32700; ")


def test_all_faults_are_told_at_once_and_nothing_is_sent() -> None:
    place = PLACE.model_copy(update={"instance_type": "ml.c6i.tiny", "instance_count": 1})
    names = ("sagemaker", "sagemaker-runtime", "s3", "ecr", "cloudwatch", "sts")
    with pytest.raises(Refused) as caught:
        SageMakerTarget(place, Clients(*map(made, names))).check(ENDPOINT, PLAN.model_copy(update={"wait_interval_s": 4000}))
    first, *rest = str(caught.value).splitlines()
    assert first == "endpoint replies-production: SageMaker would refuse 3 thing(s), nothing was sent:"
    assert rest[0].startswith("  CreateEndpointConfig.ProductionVariants[0].InstanceType: expected one of ml.c6i.large, ml.c6i.xlarge, ")
    assert rest[0].endswith("found 'ml.c6i.tiny'")
    assert "WaitIntervalInSeconds: expected at most 3600, found 4000" in rest[1]
    assert rest[2].startswith("  CanarySize: expected at most 50% of the new fleet")


def test_names_and_tags_are_held_against_patterns_and_lengths(client: Callable[[str], Any]) -> None:
    request = {"ModelName": "-a", "Tags": [{"Key": "a;b", "Value": "x" * 300}], "Stranger": 1}
    assert faults(client, "CreateModel", request) == [
        "CreateModel: expected no Stranger, which the service does not know",
        r"CreateModel.ModelName: expected [a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?, found '-a'",
        r"CreateModel.Tags[0].Key: expected [\w\s.:/=+\-@]*, found 'a;b'",
        f"CreateModel.Tags[0].Value: expected at most 256 characters, found 300 ('{'x' * 79})",
    ]


def pending(status: str, message: str, total: int = 4) -> dict[str, Any]:
    told = {"Status": status, "StatusMessage": message, "StartTime": datetime(2026, 5, 1, tzinfo=UTC)}
    return {"ProductionVariants": [{"VariantName": "champion", "DesiredInstanceCount": total, "VariantStatus": [told]}]}


def test_how_far_an_update_is_stands_in_its_status_messages() -> None:
    baking = "Baking for 600 seconds (TerminationWaitInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
    since = datetime(2026, 5, 1, tzinfo=UTC)
    assert share_of(pending("Creating", "Launching 4 instance(s).")) == (0, None)
    assert share_of(pending("ActivatingTraffic", "Activating traffic on canary capacity of 1 instance(s).")) == (25, None)
    assert share_of(pending("Baking", baking)) == (25, since)
    assert share_of(pending("Baking", baking.replace("canary capacity of 1", "full capacity of 4"))) == (100, since)


def client_error(code: str, message: str = "told", status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "UpdateEndpoint")  # type: ignore[typeddict-item] # a real answer has more


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (
            client_error("ThrottlingException"),
            Unavailable,
            "AWS answered ThrottlingException: told; nothing is lost, try again",
        ),
        (client_error("Strange", status=500), Unavailable, "endpoint x: AWS answered Strange: told; nothing is lost, try again"),
        (client_error("ExpiredTokenException"), Unavailable, "renew the credentials"),
        (client_error("ResourceLimitExceeded"), Refused, "ask for a higher quota"),
        (client_error("AccessDeniedException"), Refused, "grant it to the account of these flows: docs/sagemaker.md"),
        (client_error("ValidationException", "wrong name"), Refused, "endpoint x: AWS answered ValidationException: wrong name"),
        (client_error("ValidationException", 'Could not find endpoint "x".'), NotFound, "Could not find endpoint"),
        (client_error("UnrecognizedClientException"), Refused, "give credentials that the AWS chain finds"),
        (boto.NoCredentialsError(), Refused, "give credentials that the AWS chain finds"),
        (boto.EndpointConnectionError(endpoint_url="http://x"), Unavailable, "nothing is lost, try again"),
        (boto.TokenRetrievalError(provider="sso", error_msg="expired"), Unavailable, "renew the credentials"),
    ],
)
def test_what_aws_says_becomes_an_error_that_says_what_to_do(fault: Exception, kind: type[HeadgateError], told: str) -> None:
    with pytest.raises(kind) as caught, answered("endpoint x"):
        raise fault
    assert told in str(caught.value)


def capture(name: str | None, labels: list[str], at: str = "2026-05-01T12:00:00Z", event: str = "e1") -> str:
    one = ",".join(f'{{"label":"{label}","score":0.9,"outcome":"scored","reason":null,"prediction_id":"p"}}' for label in labels)
    data = f'{{"predictions":[{one}],"model":{{"release":"r1"}}}}'.replace('"', '\\"')
    known = f'"inferenceId":"{name}",' if name else ""
    return (
        f'{{"captureData":{{"endpointOutput":{{"observedContentType":"application/json","mode":"OUTPUT","data":"{data}","encoding":"JSON"}}}},'
        f'"eventMetadata":{{{known}"eventId":"{event}","inferenceTime":"{at}"}},"eventVersion":"0"}}'
    )


def test_captures_are_read_as_lines_and_our_own_questions_and_strange_lines_are_left_out() -> None:
    body = "\n".join([capture("c1", ["a", "b"]), "{", '{"captureData":{}}', capture("headgate-asks-1", ["a"])])
    (call,) = read_calls(body.encode())
    assert call.name == "c1"
    assert [(line["label"], line["release"], line["ts"]) for line in call.lines] == [
        ("a", "r1", "2026-05-01T12:00:00+00:00"),
        ("b", "r1", "2026-05-01T12:00:00+00:00"),
    ]


def test_answers_to_the_same_call_are_paired_by_inference_id_and_else_by_event_id() -> None:
    ours = list(read_calls("\n".join([capture("c1", ["a"]), capture(None, ["b"], event="e2"), capture("c3", ["c"])]).encode()))
    theirs = list(read_calls("\n".join([capture("c1", ["x"]), capture(None, ["y"], event="e2"), capture("c4", ["z"])]).encode()))
    found, unpaired = pairs(ours, theirs)
    assert ([(pair.champion.said, pair.challenger.said) for pair in found], unpaired) == ([("a", "x"), ("b", "y")], 1)


def test_percentiles_become_counts_and_errors_are_summed() -> None:
    at, later = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC) + timedelta(minutes=1)
    percents = (
        "p1",
        "p5",
        "p10",
        "p20",
        "p30",
        "p40",
        "p50",
        "p60",
        "p70",
        "p80",
        "p90",
        "p93",
        "p95",
        "p97",
        "p98",
        "p99",
        "p99_5",
        "p100",
    )
    values: dict[str, dict[datetime, float]] = {name: {at: 10_000.0, later: 10_000.0} for name in percents}
    values["p100"][later] = 1_000_000.0
    found = measured({**values, "samples": {at: 100, later: 1000}, "calls": {at: 101, later: 1000}, "errors": {at: 1}})
    assert (found.calls, found.errors, found.latency_ms) == (1101, 1, {"10": 1095, "1000": 5})
    assert measured({}) == (0, 0, {})
