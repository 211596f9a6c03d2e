"""Prometheus' own checker on everything that is written for it."""

import subprocess
from pathlib import Path

import pytest
import yaml

from deployments import dashboards
from deployments.dashboards.panels import ROWS

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(400)]

FOLDER = Path(dashboards.__file__).parent
CASES = Path(__file__).with_name("alert_cases.yaml")


def promtool(*arguments: str | Path) -> str:
    """What promtool says; its faults are the failure."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_valid() -> None:
    assert "SUCCESS: 14 rules found" in promtool("check", "rules", FOLDER / "alerts.yaml")


def test_the_example_configuration_is_valid() -> None:
    assert "is valid prometheus config file syntax" in promtool("check", "config", FOLDER / "prometheus.yaml")


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", CASES)


def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    expressions = [query.promql for row in ROWS for panel in row.panels for query in panel.queries]
    plain = [expression.replace("$__rate_interval", "1m") for expression in expressions]
    rules = [{"record": f"panel:query{number}", "expr": expression} for number, expression in enumerate(plain)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(expressions)} rules found" in promtool("check", "rules", file)


def test_a_wrong_expression_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("groups: [{name: g, rules: [{record: a, expr: 'sum by (a (up)'}]}]")
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "parse error" in done.stderr
