"""Argo's AnalysisTemplate asks what Prometheus understands."""

import subprocess
from pathlib import Path

import pytest
import yaml

from deployments.manifests.argo import analysis_template
from deployments.manifests.workload import Workload
from headgate.settings import Stage

pytestmark = pytest.mark.prometheus
WORKLOAD = Workload(
    model="replies",
    environment="production",
    namespace="sales",
    release="a" * 64,
    bundle_digest="b" * 64,
    image=f"registry.example/replies@sha256:{'9' * 64}",
)


def asked() -> dict[str, str]:
    """The query of each metric, of the release of the workload."""
    template = analysis_template(WORKLOAD, Stage(environment="production").auto_rollback, "http://prometheus:9090")
    queries = {metric["name"]: metric["provider"]["prometheus"]["query"] for metric in template["spec"]["metrics"]}
    return {name: query.replace("{{args.release}}", WORKLOAD.release) for name, query in queries.items()}


def test_every_query_is_read_by_promtool(tmp_path: Path) -> None:
    queries = asked()
    rules = [{"record": name.replace("-", "_"), "expr": query} for name, query in queries.items()]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "argo", "rules": rules}]}))
    found = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(queries)} rules found" in found.stdout


def answers(release: str, per_step: dict[str, int]) -> list[dict[str, str]]:
    """The counters of a release that gave so many answers with each label every 15 seconds, in a pod of its own."""
    labels = f'model="replies",namespace="sales",release="{release}",outcome="scored",pod="{release[:3]}"'
    return [
        {"series": f'headgate_predictions_total{{{labels},label="{label}"}}', "values": f"0+{count}x40"}
        for label, count in per_step.items()
    ]


@pytest.mark.parametrize(
    ("new", "old", "change"),
    [
        ({"yes": 60, "no": 40}, {"yes": 60, "no": 40}, 0.0),
        ({"yes": 70, "no": 30}, {"yes": 60, "no": 40}, 0.1),
        ({"yes": 50, "no": 20, "maybe": 30}, {"yes": 60, "no": 40}, 0.3),
        ({"yes": 60, "no": 40}, {"yes": 50, "no": 25, "maybe": 25}, 0.25),
        ({"maybe": 100}, {"yes": 60, "no": 40}, 1.0),
        ({}, {"yes": 60, "no": 40}, None),
        ({"yes": 60, "no": 40}, {}, None),
        ({"yes": 0}, {"yes": 60, "no": 40}, None),
    ],
    ids=["alike", "both", "new only", "old only", "no label in common", "none of the new", "none of the old", "new at rest"],
)
def test_a_label_that_one_release_never_answers_counts_as_a_share_of_zero(
    tmp_path: Path, new: dict[str, int], old: dict[str, int], change: float | None
) -> None:
    query = asked()["label-share-change"]
    told = f"round({query}, 0.001) >= 0"  # NaN, which decides as little as no answer, is left out so
    expected = [] if change is None else [{"value": change}]
    case = {
        "interval": "15s",
        "input_series": answers(WORKLOAD.release, new) + answers("c" * 64, old),
        "promql_expr_test": [{"expr": told, "eval_time": "10m", "exp_samples": expected}],
    }
    file = tmp_path / "case.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "15s", "tests": [case]}))
    found = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "SUCCESS" in found.stdout
