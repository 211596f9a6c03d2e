"""The Grafana dashboard, built from `panels`: `python -m deployments.dashboards.grafana` writes headgate-grafana.json."""

import json
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, LegendDisplayMode, StackingMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableOption, VariableRefresh, VariableSort

from deployments.dashboards.panels import ROWS, Panel
from deployments.dashboards.queries import Query

FILE = Path(__file__).with_name("headgate-grafana.json")
UID, COLUMNS, HEIGHT = "headgate-serving", 24, 8
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def build() -> dashboard.Dashboard:
    """The dashboard, with the variables data source, model, release and cohort."""
    found = (
        dashboard.Dashboard("Headgate: served models")
        .uid(UID)
        .description("Champion and challenger on one screen. Built by deployments/dashboards/grafana.py: change that, not this.")
        .tags(["headgate"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("30s")
        .with_variable(dashboard.DatasourceVariable("datasource").label("data source").type("prometheus"))
        .with_variable(_variable("model", "label_values(headgate_serving, model)"))
        .with_variable(_variable("release", 'label_values(headgate_serving{model=~"$model"}, release)'))
        .with_variable(_variable("cohort", 'label_values(headgate_requests_total{model=~"$model"}, cohort)'))
    )
    identifiers = count(1)
    for row in ROWS:
        found.with_row(dashboard.Row(row.title).id(next(identifiers)))
        for number, panel in enumerate(row.panels):
            found.with_panel(_panel(panel, _width(number, row.panels)).id(next(identifiers)))
    return found


def text() -> str:
    """The dashboard as the file has it."""
    return json.dumps(build().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    """All values at first; `.*` also matches what lacks the label."""
    return (
        dashboard.QueryVariable(name)
        .datasource(SOURCE)
        .query(query)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _width(number: int, panels: tuple[Panel, ...]) -> int:
    """Numbers share one line; pictures lie three in a line, and the last ones fill it."""
    if panels[number].kind == "number":
        return COLUMNS // len(panels)
    last = len(panels) % 3
    return COLUMNS // last if last and number >= len(panels) - last else COLUMNS // 3


def _panel(panel: Panel, width: int) -> stat.Panel | timeseries.Panel:
    return _number(panel, width) if panel.kind == "number" else _lines(panel, width)


def _number(panel: Panel, width: int) -> stat.Panel:
    found = stat.Panel().title(panel.title).description(panel.told).datasource(SOURCE).unit(panel.unit).span(width).height(4)
    found.graph_mode(BigValueGraphMode.AREA).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for number, query in enumerate(panel.queries):
        found.with_target(_target(number, query))
    return found


def _lines(panel: Panel, width: int) -> timeseries.Panel:
    found = timeseries.Panel().title(panel.title).description(panel.told).datasource(SOURCE).unit(panel.unit).span(width).height(HEIGHT)
    found.fill_opacity(10).legend(common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True))
    if panel.kind == "stacked":
        found.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
    if panel.highest is not None:
        found.min(0).max(panel.highest)
    for number, query in enumerate(panel.queries):
        found.with_target(_target(number, query))
    return found


def _target(number: int, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(query.promql).legend_format(query.legend)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
