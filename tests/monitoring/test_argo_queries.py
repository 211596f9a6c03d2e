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


def test_every_query_is_read_by_promtool(tmp_path: Path) -> None:
    template = analysis_template(WORKLOAD, Stage(environment="production").auto_rollback, "http://prometheus:9090")
    queries = {metric["name"]: metric["provider"]["prometheus"]["query"] for metric in template["spec"]["metrics"]}
    rules = [{"record": name.replace("-", "_"), "expr": query.replace("{{args.release}}", "a" * 64)} for name, query in queries.items()]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "argo", "rules": rules}]}))
    found = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(queries)} rules found" in found.stdout
