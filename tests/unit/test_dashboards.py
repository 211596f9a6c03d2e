"""The dashboards and alerts as files: what is committed is what the code builds, and everything they name is there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from deployments import dashboards
from deployments.dashboards import datadog, grafana
from deployments.dashboards.panels import ROWS
from deployments.layout import Layout
from deployments.local import State
from deployments.ports import Ports
from deployments.router_metrics import RouterMetrics
from deployments.scrape_targets import scrape_targets
from deployments.target import Revision
from headgate.lake import FolderLake
from headgate.serving.metrics import Metrics
from stack.gateway import create_app

FOLDER = Path(dashboards.__file__).parent
ROOT = FOLDER.parents[1]
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
CASES = yaml.safe_load((ROOT / "tests/monitoring/alert_cases.yaml").read_text())["tests"]
EXPRESSIONS = [query.promql for row in ROWS for panel in row.panels for query in panel.queries]


@pytest.mark.parametrize("module", [grafana, datadog])
def test_the_committed_dashboard_is_what_the_code_builds(module: Any) -> None:
    told = f"{module.FILE.name} is not what {module.__name__} builds; run `python -m {module.__name__}`"
    assert module.FILE.read_text() == module.text(), told


def test_grafana_and_datadog_show_the_same_panels() -> None:
    wanted = [panel.title for row in ROWS for panel in row.panels]
    in_grafana = [panel["title"] for panel in json.loads(grafana.text())["panels"] if panel["type"] != "row"]
    in_datadog = [widget["definition"]["title"] for group in datadog.build()["widgets"] for widget in group["definition"]["widgets"]]
    assert in_grafana == in_datadog == wanted
    assert len(set(wanted)) == len(wanted) > 20


def test_each_grafana_panel_has_an_id_of_its_own_and_its_place() -> None:
    panels = json.loads(grafana.text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def known_metrics() -> set[str]:
    """Every series that a server or a router can show."""
    router = {
        f"{metric.name}{suffix}"
        for metric in RouterMetrics("e").registry.collect()
        for suffix in ("", "_total", "_bucket", "_sum", "_count")
        if metric.name.startswith("headgate")
    }
    told = re.findall(r"# TYPE (\S+) (\w+)", Metrics("m", "r", "d").text().decode())
    server = {name + end for name, kind in told for end in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))}
    return router | server | {"up"}


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *(rule["expr"] for rule in RULES)])
def test_an_expression_asks_for_metrics_that_are_served(expression: str) -> None:
    asked = set(re.findall(r"\b(headgate_\w+|process_\w+|up)(?=[{\[])", expression))
    assert asked
    assert asked <= known_metrics()


def test_every_served_metric_is_on_the_dashboard() -> None:
    asked = " ".join(EXPRESSIONS)
    bare = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in known_metrics()} - {"headgate_serving"}
    assert [name for name in sorted(bare) if not re.search(rf"\b{name}(_|\b)", asked)] == []


def test_datadogs_check_is_told_of_every_metric_that_its_dashboard_asks_for() -> None:
    configured = yaml.safe_load((FOLDER / "datadog-openmetrics.yaml").read_text())["instances"]
    named = {name for told in configured[0]["metrics"] for name in ([told] if isinstance(told, str) else _new_names(told))}
    asked = set(re.findall(r":headgate\.(\w+)", datadog.text()))
    assert asked <= named
    assert configured[0]["metrics"] == configured[1]["metrics"]


def _new_names(told: dict[str, Any]) -> list[str]:
    return [new if isinstance(new, str) else new["name"] for new in told.values()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_happened_and_where_to_read_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    file, anchor = rule["annotations"]["runbook_url"].split("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(), re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()


@pytest.mark.parametrize("alert", [rule["alert"] for rule in RULES])
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert: str) -> None:
    fired = {bool(check["exp_alerts"]) for case in CASES for check in case["alert_rule_test"] if check["alertname"] == alert}
    assert fired == {True, False}


def test_prometheus_is_told_every_live_process_of_every_endpoint(tmp_path: Path) -> None:
    one, two = (
        Revision(release=name, bundle_digest=digit * 64, bundle=tmp_path, model="replies") for name, digit in (("one", "1"), ("two", "2"))
    )
    folder = tmp_path / "endpoints" / "replies-production"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(State(settled=Layout(champion=one, challenger=two)).model_dump_json())
    ports = Ports(tmp_path)
    assert scrape_targets(tmp_path) == []
    known = {name: ports.get(f"replies-production.{name}", 19_000 + n).port for n, name in enumerate(("router", "one", "two"))}
    same = {"endpoint": "replies-production", "model": "replies"}
    assert scrape_targets(tmp_path) == [
        {"targets": [f"127.0.0.1:{known['router']}"], "labels": same | {"role": "router"}},
        {"targets": [f"127.0.0.1:{known['one']}"], "labels": same | {"role": "server", "release": "one"}},
        {"targets": [f"127.0.0.1:{known['two']}"], "labels": same | {"role": "server", "release": "two"}},
    ]
    told = TestClient(create_app(FolderLake(tmp_path / "lake"), tmp_path)).get("/prometheus/targets")
    assert told.headers["content-type"] == "application/json"
    assert told.json() == scrape_targets(tmp_path)
