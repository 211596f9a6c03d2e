"""The Datadog dashboard, built from `panels`: `python -m deployments.dashboards.datadog` writes headgate-datadog.json.

The form is that of Datadog's API, POST /api/v1/dashboard, which the import in its web interface takes too.
"""

import json
import re
from pathlib import Path
from typing import Any

from deployments.dashboards.panels import ROWS, Panel, Row, Unit
from deployments.dashboards.queries import Query

FILE = Path(__file__).with_name("headgate-datadog.json")
VARIABLES = ("model", "release", "cohort")
NAMES = "abcd"
UNITS: dict[Unit, tuple[str, str | None]] = {
    "reqps": ("request", "second"),
    "percentunit": ("fraction", None),
    "s": ("second", None),
    "bytes": ("byte", None),
}


def build() -> dict[str, Any]:
    """The dashboard, with the template variables model, release and cohort."""
    return {
        "title": "Headgate: served models",
        "description": "Champion and challenger on one screen. Built by deployments/dashboards/datadog.py: change that, not this.",
        "layout_type": "ordered",
        "template_variables": [{"name": name, "prefix": name, "available_values": [], "default": "*"} for name in VARIABLES],
        "widgets": [_group(row) for row in ROWS],
    }


def text() -> str:
    """The dashboard as the file has it."""
    return json.dumps(build(), indent=2, sort_keys=True) + "\n"


def _group(row: Row) -> dict[str, Any]:
    widgets = [{"definition": _widget(panel)} for panel in row.panels]
    return {"definition": {"type": "group", "title": row.title, "layout_type": "ordered", "widgets": widgets}}


def _widget(panel: Panel) -> dict[str, Any]:
    if panel.kind == "number":
        (query,) = panel.queries
        request = {"response_format": "scalar", "queries": _queries(query, scalar=True), "formulas": [_formula(query, panel.unit)]}
        return {"type": "query_value", "title": panel.title, "autoscale": True, "precision": 3, "requests": [request]}
    display = "area" if panel.kind == "stacked" else "line"
    requests = [_series(query, panel.unit) | {"display_type": display} for query in panel.queries]
    return {"type": "timeseries", "title": panel.title, "show_legend": True, "requests": requests}


def _series(query: Query, unit: Unit) -> dict[str, Any]:
    return {"response_format": "timeseries", "queries": _queries(query), "formulas": [_formula(query, unit)]}


def _queries(query: Query, scalar: bool = False) -> list[dict[str, str]]:
    found = [{"data_source": "metrics", "name": name, "query": told} for name, told in zip(NAMES, query.datadog, strict=False)]
    return [one | ({"aggregator": _aggregator(one["query"])} if scalar else {}) for one in found]


def _aggregator(query: str) -> str:
    """How the window of a number becomes one value: counts are summed, levels and percentiles are the newest."""
    return "sum" if query.endswith(".as_count()") else "avg" if query.endswith(".as_rate()") else "last"


def _formula(query: Query, unit: Unit) -> dict[str, Any]:
    alias = re.sub(r"\{\{.*?\}\}", "", query.legend).strip(" :")
    found: dict[str, Any] = {"formula": query.formula}
    if alias:
        found["alias"] = alias
    if unit in UNITS:
        name, per = UNITS[unit]
        found["number_format"] = {"unit": {"type": "canonical_unit", "unit_name": name} | ({"per_unit_name": per} if per else {})}
    return found


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
