"""What InvokeEndpoint does on SageMaker, with real processes behind the variants; each fact after its page, as in test_simulator.py."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from accounts import IMAGE, ROLE
from botocore.exceptions import ClientError
from containers import Containers
from simulator import Simulator

CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://captures/some/prefix",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
}


def variant(model: str, weight: float = 1.0) -> dict[str, Any]:
    """Its name is the model's."""
    return {
        "VariantName": model,
        "ModelName": model,
        "InitialInstanceCount": 4,
        "InstanceType": "ml.c6i.large",
        "InitialVariantWeight": weight,
    }


@pytest.fixture
def deploy(simulator: Simulator, containers: Containers) -> Any:
    """Makes endpoint `replies` with these production variants."""
    sm = simulator.client("sagemaker")
    simulator.client("s3").create_bucket(Bucket="captures")

    def made(*variants: dict[str, Any], config: str = "one", **more: Any) -> None:
        for name in {one["ModelName"] for one in [*variants, *more.get("ShadowProductionVariants", ())]}:
            containers.stub(f'"ModelName": "{name}"', name)
            if name not in {one["ModelName"] for one in sm.list_models()["Models"]}:
                sm.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE})
        sm.create_endpoint_config(EndpointConfigName=config, ProductionVariants=list(variants), **more)
        if config == "one":
            sm.create_endpoint(EndpointName="replies", EndpointConfigName=config)
            simulator.settle()

    return made


def invoke(simulator: Simulator, body: bytes = b'{"text": "yes"}', **given: Any) -> dict[str, Any]:
    request = {"EndpointName": "replies", "ContentType": "application/json", "Body": body, **given}
    said = simulator.client("sagemaker-runtime").invoke_endpoint(**request)
    return {**said, "Body": json.loads(said["Body"].read())}


def labels(simulator: Simulator, number: int) -> list[str]:
    return [str(invoke(simulator)["Body"]["predictions"][0]["label"]) for _ in range(number)]


def captured(simulator: Simulator, name: str) -> list[dict[str, Any]]:
    simulator.clock.advance(60)
    s3 = simulator.client("s3")
    prefix = f"some/prefix/replies/{name}/{simulator.clock.now():%Y/%m/%d}/"
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="captures", Prefix=prefix).get("Contents", ())]
    assert all(key.endswith(".jsonl") and len(key.removeprefix(prefix).split("/")) == 2 for key in keys), keys
    return [json.loads(line) for key in keys for line in s3.get_object(Bucket="captures", Key=key)["Body"].read().splitlines()]


def metrics(simulator: Simulator, dimensions: list[dict[str, str]]) -> dict[str, float]:
    """Sums of the last minute, and of ModelLatency its statistics."""
    simulator.clock.advance(1)
    counted = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
    asked = [(name, "Sum") for name in counted] + [("ModelLatency", statistic) for statistic in ("p50", "Maximum", "SampleCount")]
    queries = [
        {
            "Id": f"q{number}",
            "Label": name if statistic == "Sum" else statistic,
            "MetricStat": {
                "Metric": {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": dimensions},
                "Period": 60,
                "Stat": statistic,
            },
        }
        for number, (name, statistic) in enumerate(asked)
    ]
    now = simulator.clock.now()
    said = simulator.client("cloudwatch").get_metric_data(MetricDataQueries=queries, StartTime=now - timedelta(seconds=59), EndTime=now)
    return {one["Label"]: one["Values"][0] for one in said["MetricDataResults"]}


def test_requests_go_to_the_variants_by_weight_or_to_the_one_that_is_asked_for(simulator: Simulator, deploy: Any) -> None:
    # API reference of InvokeEndpoint: TargetVariant; of ProductionVariant: InitialVariantWeight
    deploy(variant("a", 3), variant("b", 1))
    found = labels(simulator, 40)
    assert 29 <= found.count("a") <= 31
    asked = invoke(simulator, TargetVariant="b")
    assert (asked["InvokedProductionVariant"], asked["Body"]["predictions"][0]["label"]) == ("b", "b")


def test_the_container_sees_the_body_and_four_headers_of_the_caller_and_no_other(simulator: Simulator, deploy: Any) -> None:
    # "Use your own inference code with hosting services": "How containers serve requests"
    deploy(variant("a"))
    said = invoke(simulator, Accept="application/json", CustomAttributes="c1", InferenceId="i1")
    saw = {name.lower(): value for name, value in said["Body"]["saw"].items()}
    ours = ("content-type", "accept", "x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-inference-id")
    assert [saw[name] for name in ours] == ["application/json", "application/json", "c1", "i1"]
    assert not [name for name in saw if "authorization" in name or "amz-date" in name]


def test_what_the_model_refuses_is_a_model_error_with_the_models_own_answer(simulator: Simulator, deploy: Any) -> None:
    # API reference of InvokeEndpoint: ModelError
    deploy(variant("a"))
    with pytest.raises(ClientError) as caught:
        invoke(simulator, b"bad")
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
    assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (422, '{"title":"bad input"}')
    assert answer["Error"]["Message"].startswith(
        'Received client error (422) from primary with message "{"title":"bad input"}". See https://'
    )


def test_an_endpoint_that_is_not_there_or_not_yet_is_not_found(simulator: Simulator, deploy: Any) -> None:
    # aws/amazon-sagemaker-examples, issue 293
    with pytest.raises(ClientError) as caught:
        invoke(simulator)
    said = "Endpoint replies of account 123456789012 not found."
    assert (caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]) == ("ValidationError", said)


def test_an_update_moves_the_traffic_to_the_new_fleets_processes(simulator: Simulator, deploy: Any) -> None:
    # "Blue/Green Deployments"
    deploy(variant("a"))
    deploy({**variant("b"), "VariantName": "a"}, config="two")
    half = {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 600}
    simulator.client("sagemaker").update_endpoint(
        EndpointName="replies",
        EndpointConfigName="two",
        DeploymentConfig={"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": half}},
    )
    assert set(labels(simulator, 10)) == {"a"}
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    assert 9 <= labels(simulator, 20).count("b") <= 11
    simulator.settle()
    assert set(labels(simulator, 10)) == {"b"}


def test_instances_whose_process_ends_at_once_never_come_up(simulator: Simulator, deploy: Any, containers: Containers) -> None:
    deploy(variant("a"))
    deploy({**variant("b"), "VariantName": "a"}, config="two")
    containers._commands['"ModelName": "b"'] = ["false"]
    sm = simulator.client("sagemaker")
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="two")
    simulator.settle()
    after = sm.describe_endpoint(EndpointName="replies")
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "one")
    assert after["FailureReason"].startswith("The primary container for production variant a did not pass the ping health check.")


def test_a_shadow_sees_copies_by_its_weight_and_the_caller_never_its_answers(simulator: Simulator, deploy: Any) -> None:
    # "Shadow variants"; API reference of CreateEndpointConfig: ShadowProductionVariants
    # open: whether the two captures of a request share more than its InferenceId
    deploy(variant("a"), ShadowProductionVariants=[variant("b", 0.5)], DataCaptureConfig=CAPTURE)
    for number in range(20):
        assert invoke(simulator, InferenceId=f"i{number}")["InvokedProductionVariant"] == "a"
    live, copies = captured(simulator, "a"), captured(simulator, "b")
    assert (len(live), len(copies)) == (20, 10)
    ids = {record["eventMetadata"]["inferenceId"] for record in copies}
    assert ids < {record["eventMetadata"]["inferenceId"] for record in live}
    said = [json.loads(record["captureData"]["endpointOutput"]["data"])["predictions"][0]["label"] for record in copies]
    assert set(said) == {"b"}


def test_captures_are_json_lines_with_both_sides_of_a_request(simulator: Simulator, deploy: Any) -> None:
    # "Capture data from real-time endpoint"
    deploy(variant("a"), DataCaptureConfig=CAPTURE)
    invoke(simulator, InferenceId="i1")
    invoke(simulator, b"yes", ContentType="text/plain")
    first, second = sorted(captured(simulator, "a"), key=lambda record: "inferenceId" not in record["eventMetadata"])
    given, said = first["captureData"]["endpointInput"], first["captureData"]["endpointOutput"]
    assert given == {"observedContentType": "application/json", "mode": "INPUT", "data": '{"text": "yes"}', "encoding": "JSON"}
    assert (said["mode"], said["encoding"], json.loads(said["data"])["predictions"][0]["label"]) == ("OUTPUT", "JSON", "a")
    assert (set(first["eventMetadata"]), first["eventVersion"]) == ({"eventId", "inferenceTime", "inferenceId"}, "0")
    # API reference of DataCaptureConfig: "If no headers are specified SageMaker AI will by default base64 encode"
    other = second["captureData"]["endpointInput"]
    assert (other["encoding"], base64.b64decode(other["data"])) == ("BASE64", b"yes")


def test_a_sampling_percentage_captures_that_part(simulator: Simulator, deploy: Any) -> None:
    # API reference of DataCaptureConfig: InitialSamplingPercentage
    deploy(variant("a"), DataCaptureConfig={**CAPTURE, "InitialSamplingPercentage": 25})
    labels(simulator, 20)
    assert len(captured(simulator, "a")) == 5


def test_invocations_are_counted_and_timed_by_variant_and_by_configuration(simulator: Simulator, deploy: Any) -> None:
    # "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch"; EndpointConfigName: "Auto-Rollback Configuration and Monitoring"
    deploy(variant("a"))
    labels(simulator, 3)
    with pytest.raises(ClientError):
        invoke(simulator, b"bad")
    both = [{"Name": "EndpointName", "Value": "replies"}, {"Name": "VariantName", "Value": "a"}]
    for dimensions in (both, [*both, {"Name": "EndpointConfigName", "Value": "one"}]):
        found = metrics(simulator, dimensions)
        slowest, median = found.pop("Maximum"), found.pop("p50")
        assert found == {"Invocations": 4, "Invocation4XXErrors": 1, "Invocation5XXErrors": 0, "InvocationModelErrors": 1, "SampleCount": 4}
        assert 400 < median <= slowest < 60e6


def test_real_errors_of_a_new_fleet_trip_its_alarm_and_bring_the_traffic_back(
    simulator: Simulator, deploy: Any, containers: Containers
) -> None:
    # "Auto-Rollback Configuration and Monitoring"
    deploy(variant("a"))
    deploy({**variant("b"), "VariantName": "a"}, config="two")
    containers.stub('"ModelName": "b"', "b", errors=0.5)
    dimensions = {"EndpointName": "replies", "VariantName": "a", "EndpointConfigName": "two"}
    simulator.client("cloudwatch").put_metric_alarm(
        AlarmName="5xx",
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    half = {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 600}
    plan = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": half}, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "5xx"}]}}
    sm = simulator.client("sagemaker")
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="two", DeploymentConfig=plan)
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    failed = 0
    for _ in range(20):
        try:
            invoke(simulator)
        except simulator.client("sagemaker-runtime").exceptions.ModelError:
            failed += 1
    assert failed
    simulator.settle()
    assert sm.describe_endpoint(EndpointName="replies")["EndpointConfigName"] == "one"
    assert set(labels(simulator, 10)) == {"a"}


def test_headgates_own_server_answers_behind_an_endpoint(simulator: Simulator, containers: Containers, bundle: Any) -> None:
    containers.bundle("a-real-bundle", bundle)
    sm = simulator.client("sagemaker")
    sm.create_model(ModelName="a-real-bundle", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE})
    sm.create_endpoint_config(EndpointConfigName="one", ProductionVariants=[{**variant("a-real-bundle")}])
    sm.create_endpoint(EndpointName="replies", EndpointConfigName="one")
    simulator.settle()
    said = invoke(simulator, json.dumps({"instances": [{"text": "yes please, call me thursday"}]}).encode())
    assert said["Body"]["predictions"][0]["label"]
