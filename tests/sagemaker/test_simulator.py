"""How SageMaker behaves, as its documentation says; what the documentation leaves open is marked `open:`.

The page that a fact is from stands before it: titles of the SageMaker Developer Guide, the API reference (of an operation or a
type), or where others reported it. The first tests run on real AWS too (HEADGATE_AWS_TESTS=1).
"""

from typing import Any

import boto3
import pytest
from accounts import IMAGE, ROLE, Account
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from simulator import Simulator

ALARM: dict[str, Any] = {
    "AlarmName": "new-fleet-5xx",
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "Dimensions": [
        {"Name": "EndpointName", "Value": "replies"},
        {"Name": "VariantName", "Value": "AllTraffic"},
        {"Name": "EndpointConfigName", "Value": "second"},
    ],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0.1,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}
WATCHED = {"Alarms": [{"AlarmName": "new-fleet-5xx"}]}
CANARY: dict[str, Any] = {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25}, "WaitIntervalInSeconds": 600}
ROLLING = {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 25}, "WaitIntervalInSeconds": 300}


def variant(model: str, name: str = "AllTraffic", instances: int = 4, weight: float = 1.0) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InitialInstanceCount": instances,
        "InstanceType": "ml.c6i.large",
        "InitialVariantWeight": weight,
    }


def blue_green(routing: dict[str, Any], **more: int) -> dict[str, Any]:
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **more}, "AutoRollbackConfiguration": WATCHED}


def refusal(call: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**given)
    assert caught.value.response["Error"]["Code"] in ("ValidationException", "ValidationError"), caught.value
    return str(caught.value.response["Error"]["Message"])


@pytest.fixture
def sm(simulator: Simulator) -> Any:
    """A client; there are models `good` and `new`, their configurations `first` and `second`, and endpoint `replies` on the first."""
    client = simulator.client("sagemaker")
    for model, config in (("good", "first"), ("new", "second")):
        client.create_model(ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE})
        client.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant(model)])
    client.create_endpoint(EndpointName="replies", EndpointConfigName="first")
    simulator.settle()
    simulator.client("cloudwatch").put_metric_alarm(**ALARM)
    return client


def seen(sm: Any, name: str = "replies") -> dict[str, Any]:
    return dict(sm.describe_endpoint(EndpointName=name))


def stage(sm: Any) -> tuple[str, int]:
    """The new fleet's status and how many of its instances take traffic."""
    pending = seen(sm)["PendingDeploymentSummary"]["ProductionVariants"][0]
    return pending["VariantStatus"][0]["Status"], pending["CurrentInstanceCount"]


def traffic(simulator: Simulator) -> dict[str, float]:
    """Shares of the traffic by endpoint configuration."""
    endpoint = simulator.endpoint("us-east-1", "replies")
    assert endpoint
    return {str(fleet.config["EndpointConfigName"]): round(share, 3) for fleet, _, share in endpoint.routes()}


# On real AWS too


def test_what_is_not_there_is_named_in_the_message(account: Account, unique: str) -> None:
    # API reference of DescribeEndpoint; the message as the SageMaker controller for Kubernetes matches on it
    said = refusal(account.client("sagemaker").describe_endpoint, EndpointName=unique)
    assert said.startswith("Could not find endpoint ")


def test_a_model_whose_name_exists_is_refused(account: Account, unique: str) -> None:
    # aws/sagemaker-python-sdk, issue 101 and others
    sm, given = account.client("sagemaker"), {"ExecutionRoleArn": account.role_arn, "PrimaryContainer": {"Image": account.image}}
    sm.create_model(ModelName=unique, **given)
    try:
        assert refusal(sm.create_model, ModelName=unique, **given).startswith("Cannot create already existing model ")
    finally:
        sm.delete_model(ModelName=unique)


def test_an_endpoint_configuration_keeps_its_shadow_variants_and_its_data_capture(account: Account, unique: str) -> None:
    # API reference of CreateEndpointConfig
    sm = account.client("sagemaker")
    sm.create_model(ModelName=unique, ExecutionRoleArn=account.role_arn, PrimaryContainer={"Image": account.image})
    capture = {
        "InitialSamplingPercentage": 50,
        "DestinationS3Uri": f"s3://{account.bucket}/{unique}",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    given = {
        "EndpointConfigName": unique,
        "ProductionVariants": [variant(unique, "live")],
        "ShadowProductionVariants": [variant(unique, "copy", weight=0.5)],
        "DataCaptureConfig": {"EnableCapture": True, **capture},
    }
    try:
        sm.create_endpoint_config(**given)
        kept = sm.describe_endpoint_config(EndpointConfigName=unique)
        assert [one["VariantName"] for one in kept["ShadowProductionVariants"]] == ["copy"]
        assert kept["ShadowProductionVariants"][0]["InitialVariantWeight"] == 0.5
        assert kept["DataCaptureConfig"]["InitialSamplingPercentage"] == 50
        assert refusal(sm.create_endpoint_config, **given).startswith("Cannot create already existing endpoint configuration ")
    finally:
        sm.delete_endpoint_config(EndpointConfigName=unique)
        sm.delete_model(ModelName=unique)


# Requests


def test_all_that_the_service_model_forbids_is_refused_at_once(sm: Any, simulator: Simulator) -> None:
    # API reference, "Common errors": ValidationError
    unchecked = boto3.client("sagemaker", endpoint_url=simulator.url, config=Config(parameter_validation=False))
    routing = {"Type": "SLOWLY", "WaitIntervalInSeconds": 4000}
    said = refusal(unchecked.update_endpoint, EndpointName="re_plies", EndpointConfigName="second", DeploymentConfig=blue_green(routing))
    assert said.startswith("3 validation errors detected: ")
    assert "Value 're_plies' at 'endpointName' failed to satisfy constraint: Member must satisfy regular expression pattern" in said
    assert "trafficRoutingConfiguration.type' failed to satisfy constraint: Member must satisfy enum value set: [ALL_AT_ONCE" in said
    assert "waitIntervalInSeconds' failed to satisfy constraint: Member must have value less than or equal to 3600" in said
    assert 'Missing required parameter in input: "EndpointName"' in refusal(unchecked.update_endpoint, EndpointConfigName="second")


def test_one_production_and_one_shadow_variant_at_most(sm: Any) -> None:
    # API reference of CreateEndpointConfig: ShadowProductionVariants
    said = refusal(
        sm.create_endpoint_config,
        EndpointConfigName="both",
        ProductionVariants=[variant("good", "a"), variant("good", "b")],
        ShadowProductionVariants=[variant("new", "c")],
    )
    assert said == "You can only specify one variant for ProductionVariants and one variant for ShadowProductionVariants."


def test_model_data_must_be_there_when_the_model_is_made(sm: Any, simulator: Simulator) -> None:
    simulator.client("s3").create_bucket(Bucket="models")
    given = {"ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://models/one/model.tar.gz"}}
    assert refusal(sm.create_model, ModelName="one", **given) == "Could not find model data at s3://models/one/model.tar.gz."
    simulator.client("s3").put_object(Bucket="models", Key="one/model.tar.gz", Body=b"...")
    sm.create_model(ModelName="one", **given)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (
            {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": CANARY}, "RollingUpdatePolicy": ROLLING},
            "Only one update policy can be specified: BlueGreenUpdatePolicy or RollingUpdatePolicy",  # of DeploymentConfig
        ),
        (
            blue_green({**CANARY, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 60}}),
            "CanarySize must be less than or equal to 50% of the variant's total instance count, found 60%",  # TrafficRoutingConfig
        ),
        (
            blue_green({**CANARY, "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 3}}),
            "CanarySize must be less than or equal to 50% of the variant's total instance count, "
            "found 3 of 4 instance(s) of variant AllTraffic",
        ),
        (
            blue_green({"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 5}, "WaitIntervalInSeconds": 60}),
            "LinearStepSize must be between 10% and 50% of the variant's total instance count, found 5%",
        ),
        (
            {"RollingUpdatePolicy": {**ROLLING, "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 4}}},
            "MaximumBatchSize must be between 5% and 50% of the variant's total instance count, found 4%",  # of RollingUpdatePolicy
        ),
        (
            blue_green(CANARY, TerminationWaitInSeconds=300, MaximumExecutionTimeoutInSeconds=900),
            "MaximumExecutionTimeoutInSeconds must be larger than the total waiting time of 900 seconds, found 900",
        ),
        ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "nobody"}]}}, "Alarm nobody does not exist"),  # open: when it is looked up
    ],
)
def test_a_plan_beyond_the_documented_limits_is_refused(sm: Any, plan: dict[str, Any], said: str) -> None:
    assert refusal(sm.update_endpoint, EndpointName="replies", EndpointConfigName="second", DeploymentConfig=plan) == said
    assert seen(sm)["EndpointStatus"] == "InService"


def test_an_update_by_plan_keeps_the_names_of_the_variants(sm: Any) -> None:
    # "Exclusions"
    sm.create_endpoint_config(EndpointConfigName="other", ProductionVariants=[variant("new", "Another")])
    said = refusal(sm.update_endpoint, EndpointName="replies", EndpointConfigName="other", DeploymentConfig=blue_green(CANARY))
    assert said == "The new endpoint configuration must have the same variant names as the old one, ['AllTraffic'], found ['Another']"
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="other")


# Life of an endpoint


def test_an_endpoint_is_in_service_only_after_its_instances_came_up(sm: Any, simulator: Simulator) -> None:
    # API reference of CreateEndpoint
    sm.create_endpoint(EndpointName="second", EndpointConfigName="second", Tags=[{"Key": "owner", "Value": "us"}])
    assert seen(sm, "second")["EndpointStatus"] == "Creating"
    assert refusal(sm.delete_endpoint, EndpointName="second").startswith("Cannot update in-progress endpoint ")
    simulator.clock.advance(simulator.times.provision_s - 1)
    assert seen(sm, "second")["EndpointStatus"] == "Creating"
    simulator.clock.advance(1)
    found = seen(sm, "second")
    assert found["EndpointStatus"] == "InService"
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 4
    assert found["ProductionVariants"][0]["DeployedImages"][0]["ResolvedImage"] == IMAGE
    assert sm.list_tags(ResourceArn=found["EndpointArn"])["Tags"] == [{"Key": "owner", "Value": "us"}]


def test_an_endpoint_whose_container_does_not_answer_ping_fails_and_can_only_be_deleted(sm: Any, simulator: Simulator) -> None:
    # API reference of DescribeEndpoint: EndpointStatus
    simulator.break_model("new")
    sm.create_endpoint(EndpointName="second", EndpointConfigName="second")
    simulator.settle()
    found = seen(sm, "second")
    assert found["EndpointStatus"] == "Failed"
    assert "The primary container for production variant AllTraffic did not pass the ping health check." in found["FailureReason"]
    assert "Failed" in refusal(sm.update_endpoint, EndpointName="second", EndpointConfigName="first")
    sm.delete_endpoint(EndpointName="second")
    assert seen(sm, "second")["EndpointStatus"] == "Deleting"
    simulator.settle()
    assert refusal(sm.describe_endpoint, EndpointName="second").startswith("Could not find endpoint ")


def test_an_endpoint_under_change_takes_no_second_change(sm: Any, simulator: Simulator) -> None:
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/replies"
    wish = [{"VariantName": "AllTraffic", "DesiredWeight": 2}]
    for call, given in (
        (sm.update_endpoint, {"EndpointConfigName": "first"}),
        (sm.update_endpoint_weights_and_capacities, {"DesiredWeightsAndCapacities": wish}),
        (sm.delete_endpoint, {}),
    ):
        assert refusal(call, EndpointName="replies", **given) == f'Cannot update in-progress endpoint "{arn}".'
    assert (
        refusal(sm.create_endpoint, EndpointName="replies", EndpointConfigName="first")
        == f'Cannot create already existing endpoint "{arn}".'
    )


def test_an_endpoint_whose_configuration_was_deleted_cannot_be_updated(sm: Any) -> None:
    # API reference of UpdateEndpoint ("You must not delete an EndpointConfig in use"); hashicorp/terraform-provider-aws, issue 48997
    sm.delete_endpoint_config(EndpointConfigName="first")
    assert refusal(sm.update_endpoint, EndpointName="replies", EndpointConfigName="second").startswith(
        "Could not find endpoint configuration "
    )


def test_lists_come_in_pages_of_ten(sm: Any) -> None:
    # API reference of ListEndpointConfigs
    for number in range(12):
        sm.create_endpoint_config(EndpointConfigName=f"listed-{number}", ProductionVariants=[variant("good")])
    assert len(sm.list_endpoint_configs(NameContains="listed")["EndpointConfigs"]) == 10
    pages = sm.get_paginator("list_endpoint_configs").paginate(NameContains="listed")
    assert len({config["EndpointConfigName"] for page in pages for config in page["EndpointConfigs"]}) == 12


def test_weights_and_capacities_change_after_a_while(sm: Any, simulator: Simulator) -> None:
    # API reference of UpdateEndpointWeightsAndCapacities and ProductionVariantSummary
    wish = [{"VariantName": "AllTraffic", "DesiredWeight": 3, "DesiredInstanceCount": 6}]
    sm.update_endpoint_weights_and_capacities(EndpointName="replies", DesiredWeightsAndCapacities=wish)
    during = seen(sm)
    assert during["EndpointStatus"] == "Updating"
    assert {name: during["ProductionVariants"][0][name] for name in ("CurrentWeight", "DesiredWeight", "DesiredInstanceCount")} == {
        "CurrentWeight": 1,
        "DesiredWeight": 3,
        "DesiredInstanceCount": 6,
    }
    simulator.settle()
    assert seen(sm)["ProductionVariants"][0]["CurrentWeight"] == 3
    stranger = [{"VariantName": "Nobody", "DesiredWeight": 1}]
    said = refusal(sm.update_endpoint_weights_and_capacities, EndpointName="replies", DesiredWeightsAndCapacities=stranger)
    assert said == 'The variant name(s) "Nobody" is/are not present within endpoint configuration "first".'


def test_an_update_can_keep_weights_and_capacities(sm: Any, simulator: Simulator) -> None:
    # API reference of UpdateEndpoint: RetainAllVariantProperties, ExcludeRetainedVariantProperties
    wish = [{"VariantName": "AllTraffic", "DesiredWeight": 3, "DesiredInstanceCount": 6}]
    sm.update_endpoint_weights_and_capacities(EndpointName="replies", DesiredWeightsAndCapacities=wish)
    simulator.settle()
    sm.update_endpoint(
        EndpointName="replies",
        EndpointConfigName="second",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    simulator.settle()
    assert (seen(sm)["ProductionVariants"][0]["CurrentWeight"], seen(sm)["ProductionVariants"][0]["CurrentInstanceCount"]) == (1, 6)


# Traffic shifting


def test_a_canary_takes_whole_instances_then_all_and_bakes_after_each(sm: Any, simulator: Simulator) -> None:
    # "Use canary traffic shifting"; messages and counts of "Events that Amazon SageMaker AI sends to Amazon EventBridge"
    plan = blue_green(CANARY, TerminationWaitInSeconds=300)
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second", DeploymentConfig=plan)
    assert (seen(sm)["EndpointStatus"], stage(sm), traffic(simulator)) == ("Updating", ("Creating", 0), {"first": 1.0})
    simulator.clock.advance(simulator.times.provision_s)
    assert (stage(sm), traffic(simulator)) == (("ActivatingTraffic", 0), {"first": 1.0})
    simulator.clock.advance(simulator.times.shift_s)
    assert (stage(sm), traffic(simulator)) == (("Baking", 1), {"first": 0.75, "second": 0.25})
    message = seen(sm)["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0]["StatusMessage"]
    assert message == "Baking for 600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
    simulator.clock.advance(600 + simulator.times.shift_s)
    assert (stage(sm), traffic(simulator)) == (("Baking", 4), {"second": 1.0})
    assert seen(sm)["EndpointConfigName"] == "first"
    simulator.clock.advance(300)
    after = seen(sm)
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "second")
    assert "PendingDeploymentSummary" not in after
    assert after["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"


def test_a_small_canary_of_a_small_fleet_is_one_whole_instance(sm: Any, simulator: Simulator) -> None:
    # open: the guide gives sizes in percent of the instances, and the messages whole instances; how it rounds is not said
    sm.create_endpoint_config(EndpointConfigName="two", ProductionVariants=[variant("new", instances=2)])
    small = {**CANARY, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 5}}
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="two", DeploymentConfig=blue_green(small))
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    assert (stage(sm), traffic(simulator)) == (("Baking", 1), {"first": 0.5, "two": 0.5})


def test_linear_shifting_goes_in_equal_steps(sm: Any, simulator: Simulator) -> None:
    # "Use linear traffic shifting"
    linear = {"Type": "LINEAR", "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 60}
    sm.update_endpoint(
        EndpointName="replies", EndpointConfigName="second", DeploymentConfig=blue_green(linear, TerminationWaitInSeconds=60)
    )
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    shares = []
    while seen(sm)["EndpointStatus"] == "Updating":
        shares.append(traffic(simulator).get("second"))
        simulator.clock.advance(60 + simulator.times.shift_s)
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_all_at_once_is_what_an_update_without_a_plan_does(sm: Any, simulator: Simulator) -> None:
    # API reference of DeploymentConfig; "Use all at once traffic shifting"
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second")
    simulator.clock.advance(simulator.times.provision_s)
    assert traffic(simulator) == {"first": 1.0}
    simulator.clock.advance(simulator.times.shift_s)
    assert (seen(sm)["EndpointStatus"], traffic(simulator)) == ("InService", {"second": 1.0})


def test_an_alarm_on_the_new_fleet_brings_all_traffic_back(sm: Any, simulator: Simulator) -> None:
    # "Auto-Rollback Configuration and Monitoring"; the states after it: hashicorp/terraform-provider-aws, issues 39099 and 48997
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second", DeploymentConfig=blue_green(CANARY))
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    simulator.put_metrics("us-east-1", "replies", "AllTraffic", "first", {"Invocation5XXErrors": 1})
    simulator.clock.advance(30)
    assert stage(sm) == ("Baking", 1), "the old fleet's errors are not the new one's"
    simulator.put_metrics("us-east-1", "replies", "AllTraffic", "second", {"Invocation5XXErrors": 1})
    simulator.clock.advance(1)
    assert (seen(sm)["EndpointStatus"], simulator.client("cloudwatch").describe_alarms()["MetricAlarms"][0]["StateValue"]) == (
        "RollingBack",
        "ALARM",
    )
    simulator.settle()
    after = seen(sm)
    assert (after["EndpointStatus"], after["EndpointConfigName"], traffic(simulator)) == ("InService", "first", {"first": 1.0})
    assert after["FailureReason"] == "Deployment was rolled back because the alarm new-fleet-5xx is in state ALARM."


def test_a_rollback_may_leave_no_reason_behind(sm: Any, simulator: Simulator) -> None:
    # hashicorp/terraform-provider-aws, issue 48997
    simulator.silent_rollback = True
    simulator.break_model("new")
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second")
    simulator.settle()
    after = seen(sm)
    assert (after["EndpointStatus"], after["EndpointConfigName"], "FailureReason" in after) == ("InService", "first", False)


def test_an_update_that_cannot_go_back_fails_the_endpoint(sm: Any, simulator: Simulator) -> None:
    # API reference of DescribeEndpoint: Failed, "could not be created, updated, or re-scaled"; open: when an update ends so
    simulator.rollback_fails = True
    simulator.break_model("new")
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second")
    simulator.settle()
    assert (seen(sm)["EndpointStatus"], traffic(simulator)) == ("Failed", {})
    assert "did not pass the ping health check" in seen(sm)["FailureReason"]


def test_without_alarms_nothing_is_rolled_back(sm: Any, simulator: Simulator) -> None:
    # "Auto-Rollback Configuration and Monitoring": "the auto-rollback functionality does not work during your deployment"
    plan = {"BlueGreenUpdatePolicy": blue_green(CANARY)["BlueGreenUpdatePolicy"]}
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second", DeploymentConfig=plan)
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    simulator.put_metrics("us-east-1", "replies", "AllTraffic", "second", {"Invocation5XXErrors": 1})
    simulator.settle()
    assert seen(sm)["EndpointConfigName"] == "second"


def test_an_alarm_set_by_hand_counts_while_the_new_fleet_bakes_and_not_before(sm: Any, simulator: Simulator) -> None:
    # CloudWatch API reference of SetAlarmState: a metric alarm "returns to its actual state quickly"; "Baking period"
    by_hand = {"AlarmName": "new-fleet-5xx", "StateValue": "ALARM", "StateReason": "by hand"}
    cloudwatch = simulator.client("cloudwatch")
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second", DeploymentConfig=blue_green(CANARY))
    cloudwatch.set_alarm_state(**by_hand)
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    assert stage(sm) == ("Baking", 1)
    cloudwatch.set_alarm_state(**by_hand)
    simulator.clock.advance(1)
    assert seen(sm)["EndpointStatus"] == "RollingBack"


def test_a_deployment_that_takes_too_long_is_rolled_back(sm: Any, simulator: Simulator) -> None:
    # API reference of BlueGreenUpdatePolicy: MaximumExecutionTimeoutInSeconds; open: what exceeding it does to a blue/green update
    plan = blue_green(CANARY, MaximumExecutionTimeoutInSeconds=660)
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second", DeploymentConfig=plan)
    simulator.clock.advance(675)
    assert seen(sm)["EndpointStatus"] == "RollingBack"
    simulator.settle()
    assert seen(sm)["FailureReason"] == "Deployment was rolled back because it exceeded its maximum execution time of 660 seconds."


def test_a_rolling_update_replaces_batch_after_batch(sm: Any, simulator: Simulator) -> None:
    # "Use rolling deployments"
    plan = {"RollingUpdatePolicy": ROLLING, "AutoRollbackConfiguration": WATCHED}
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second", DeploymentConfig=plan)
    batch_s = simulator.times.provision_s + simulator.times.shift_s + 300
    shares = []
    while seen(sm)["EndpointStatus"] == "Updating":
        simulator.clock.advance(batch_s)
        shares.append(traffic(simulator)["second"])
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_a_rolling_update_whose_way_back_fails_leaves_a_mix_that_another_update_ends(sm: Any, simulator: Simulator) -> None:
    # "Use rolling deployments": "Failure handling"
    plan = {"RollingUpdatePolicy": ROLLING, "AutoRollbackConfiguration": WATCHED}
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second", DeploymentConfig=plan)
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    simulator.break_model("good")
    simulator.put_metrics("us-east-1", "replies", "AllTraffic", "second", {"Invocation5XXErrors": 1})
    simulator.settle()
    assert (seen(sm)["EndpointStatus"], traffic(simulator)) == ("UpdateRollbackFailed", {"first": 0.75, "second": 0.25})
    simulator.heal()
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="first")
    simulator.settle()
    assert (seen(sm)["EndpointStatus"], traffic(simulator)) == ("InService", {"first": 1.0})


def test_the_last_plan_can_be_used_again(sm: Any, simulator: Simulator) -> None:
    # API reference of UpdateEndpoint: RetainDeploymentConfig
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="second", DeploymentConfig=blue_green(CANARY))
    simulator.settle()
    sm.update_endpoint(EndpointName="replies", EndpointConfigName="first", RetainDeploymentConfig=True)
    simulator.clock.advance(simulator.times.provision_s + simulator.times.shift_s)
    assert stage(sm) == ("Baking", 1)


# Alarms


@pytest.mark.parametrize(
    ("missing", "state"),
    [("notBreaching", "OK"), ("breaching", "ALARM"), ("missing", "INSUFFICIENT_DATA"), ("ignore", "INSUFFICIENT_DATA")],
)
def test_an_alarm_without_data_is_as_it_was_told(simulator: Simulator, missing: str, state: str) -> None:
    # CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data"; a new alarm is INSUFFICIENT_DATA
    cloudwatch = simulator.client("cloudwatch")
    cloudwatch.put_metric_alarm(**{**ALARM, "TreatMissingData": missing})
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"] == "INSUFFICIENT_DATA"
    simulator.region("us-east-1")
    simulator.clock.advance(60)
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"] == state


def test_a_metric_that_a_client_puts_counts_at_the_simulators_time_and_only_with_its_exact_dimensions(simulator: Simulator) -> None:
    # CloudWatch User Guide, "Dimensions": each combination is a metric of its own
    cloudwatch = simulator.client("cloudwatch")
    own = {**ALARM, "Namespace": "Headgate", "MetricName": "Agreement", "ComparisonOperator": "LessThanThreshold", "Threshold": 0.9}
    percentile = {key: value for key, value in own.items() if key != "Statistic"}
    cloudwatch.put_metric_alarm(**{**percentile, "ExtendedStatistic": "p50", "Dimensions": ALARM["Dimensions"][:1]})
    simulator.region("us-east-1")
    simulator.clock.advance(3600)
    both = [(0.1, ALARM["Dimensions"]), (0.95, ALARM["Dimensions"][:1])]
    cloudwatch.put_metric_data(
        Namespace="Headgate",
        MetricData=[{"MetricName": "Agreement", "Value": value, "Dimensions": dimensions} for value, dimensions in both],
    )
    simulator.clock.advance(1)
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"] == "OK"
    bad = [{"MetricName": "Agreement", "Values": [0.2, 0.3], "Counts": [3, 1], "Dimensions": ALARM["Dimensions"][:1]}]
    cloudwatch.put_metric_data(Namespace="Headgate", MetricData=bad)
    simulator.clock.advance(1)
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"] == "ALARM"
    simulator.clock.advance(60)
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"] == "OK"


def test_no_client_puts_metrics_of_aws_itself(simulator: Simulator) -> None:
    # CloudWatch API reference of PutMetricData: Namespace
    put = simulator.client("cloudwatch").put_metric_data
    with pytest.raises(ClientError, match="The value AWS/SageMaker for parameter Namespace is invalid"):
        put(Namespace="AWS/SageMaker", MetricData=[{"MetricName": "Invocations", "Value": 1}])
    assert simulator.client("cloudwatch").list_metrics()["Metrics"] == []


# Faults


def test_faults_come_as_often_as_they_were_ordered_in_their_region_alone(sm: Any, simulator: Simulator) -> None:
    simulator.fail("DescribeEndpoint", "ThrottlingException", times=2, message="Rate exceeded", region="us-west-2")
    elsewhere = simulator.client("sagemaker", "us-west-2")
    assert seen(sm)["EndpointStatus"] == "InService"
    for _ in range(2):
        with pytest.raises(ClientError, match=r"\(ThrottlingException\) .*: Rate exceeded"):
            elsewhere.describe_endpoint(EndpointName="replies")
    assert refusal(elsewhere.describe_endpoint, EndpointName="replies").startswith("Could not find endpoint ")


@pytest.mark.parametrize(
    ("service", "operation", "code", "call"),
    [
        ("sagemaker", "UpdateEndpoint", "ResourceLimitExceeded", {"EndpointName": "replies", "EndpointConfigName": "second"}),
        ("cloudwatch", "DescribeAlarms", "ThrottlingException", {}),
        ("sts", "GetCallerIdentity", "ExpiredTokenException", {}),
        ("s3", "PutObject", "SlowDown", {"Bucket": "some", "Key": "key", "Body": b"..."}),
        ("ecr", "DescribeRepositories", "ServerException", {}),
    ],
)
def test_a_fault_speaks_the_protocol_of_its_service(
    sm: Any, simulator: Simulator, service: str, operation: str, code: str, call: dict[str, Any]
) -> None:
    simulator.fail(operation, code)
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
    with pytest.raises(ClientError) as caught:
        getattr(simulator.client(service), name)(**call)
    assert (caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]) == (code, "injected")


def test_a_lost_reply_leaves_the_effect_and_a_retry_finds_it_done(sm: Any, simulator: Simulator) -> None:
    simulator.lose_reply("CreateEndpoint")
    with pytest.raises(ConnectionClosedError):
        sm.create_endpoint(EndpointName="other", EndpointConfigName="first")
    assert seen(sm, "other")["EndpointStatus"] == "Creating"
    simulator.lose_reply("UpdateEndpoint")
    patient = simulator.client("sagemaker", retries={"total_max_attempts": 2})
    said = refusal(patient.update_endpoint, EndpointName="replies", EndpointConfigName="second")
    assert said.startswith("Cannot update in-progress endpoint ")


def test_regions_know_nothing_of_each_other(sm: Any, simulator: Simulator) -> None:
    west = simulator.client("sagemaker", "us-west-2")
    assert west.list_endpoints()["Endpoints"] == []
    assert refusal(west.create_endpoint, EndpointName="replies", EndpointConfigName="first") == (
        'Could not find endpoint configuration "arn:aws:sagemaker:us-west-2:123456789012:endpoint-config/first".'
    )
