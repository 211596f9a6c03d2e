"""The library's own measures of production in CloudWatch, and its word on a release: `ReleaseFailed`, which an update's alarm `stop` reads.

Measures are those of an endpoint. The word is about one endpoint configuration: the one in force where it serves the release that was
judged, and one that the endpoint is being updated to where that serves it. So what is said of a champion never stops the update that
would replace it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from deployments.sagemaker_clients import Clients, answered
from deployments.sagemaker_plan import OWN, STOP_METRIC, stop_dimensions
from deployments.sagemaker_state import NOTHING, Config, States

Measured = tuple[str, float, str]  # name, value, unit


class Serving(NamedTuple):
    """The configurations in force and to come, where they serve the judged release; moving: whether SageMaker is changing the endpoint."""

    now: str | None = None
    next: str | None = None
    moving: bool = False


def put_quality(clients: Clients, states: States, endpoint: str, release: str, measures: Iterable[Measured], failed: bool) -> list[str]:
    """Put a look's measures and the word on the release that was judged; the names of the configurations that it was put of.

    Nothing is put where the endpoint serves another release, and is not on its way to this one. Changes nothing else; may be repeated.
    """
    if (now := states.now(endpoint)) is None:
        return []
    serving = Serving(_serving(states, now.config, release), _serving(states, now.pending, release), now.moving)
    data = list(quality_data(endpoint, measures, serving, failed))
    if data:
        with answered(f"metrics {OWN} of endpoint {endpoint}"):
            clients.cloudwatch.put_metric_data(Namespace=OWN, MetricData=data)
    return [one["Dimensions"][1]["Value"] for one in data if one["MetricName"] == STOP_METRIC]


def quality_data(endpoint: str, measures: Iterable[Measured], serving: Serving, failed: bool) -> Iterator[dict[str, Any]]:
    """PutMetricData's data. Pure.

    Of an endpoint that is being updated only 1 is put: a 0 would take back the machine's own stop before SageMaker looked at the alarm.
    """
    if serving.now:
        of_endpoint = [{"Name": "EndpointName", "Value": endpoint}]
        for name, value, unit in measures:
            yield {"MetricName": name, "Dimensions": of_endpoint, "Value": value, "Unit": unit}
    if failed or not serving.moving:
        for config in filter(None, (serving.now, serving.next)):
            yield {"MetricName": STOP_METRIC, "Dimensions": stop_dimensions(endpoint, config), "Value": float(failed)}


def _serving(states: States, config: Config | None, release: str) -> str | None:
    """The name of a configuration whose champion is this release."""
    if config is None or config == NOTHING:
        return None
    revision = states.known(config.cast.champion)
    return config.name if revision and revision.release == release else None
