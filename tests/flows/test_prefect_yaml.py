"""prefect.yaml says where and when; these tests hold it to what the flows are."""

import importlib
from pathlib import Path

import pytest
import yaml
from prefect import Flow

PLAN = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())


def _flow(entrypoint: str) -> Flow:
    module, _, name = entrypoint.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("plan", PLAN["deployments"], ids=lambda plan: plan["entrypoint"])
def test_every_entrypoint_is_a_flow_named_like_its_function(plan):
    found = _flow(plan["entrypoint"])
    assert isinstance(found, Flow)
    assert found.name == plan["entrypoint"].rpartition(".")[2]


@pytest.mark.parametrize("plan", PLAN["deployments"], ids=lambda plan: plan["entrypoint"])
def test_every_parameter_is_described_in_the_form(plan):
    for name, schema in _flow(plan["entrypoint"]).parameters.properties.items():
        assert schema.get("description"), f"{plan['entrypoint']}: parameter {name} has no description"


def test_the_flows_of_the_first_release_are_all_there():
    names = {plan["entrypoint"].rpartition(".")[2] for plan in PLAN["deployments"]}
    assert names == {"ingest_annotations", "train_candidate", "release_candidate", "rollback_release", "regression_test", "sanity_check"}


def test_the_regression_test_has_a_schedule():
    (plan,) = [plan for plan in PLAN["deployments"] if plan["entrypoint"].endswith("regression_test")]
    assert [schedule["cron"] for schedule in plan["schedules"]] == ["0 6 * * *"]
