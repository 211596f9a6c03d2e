"""Corrections -> landing, the prediction log -> the queue, and what the Prefect UI shows of both."""

from datetime import UTC, datetime

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from headgate.monitoring.calibrated_drift import slices_of
from headgate.monitoring.feedback import Collected, collect
from headgate.monitoring.feedback_report import lines
from headgate.monitoring.queueing import Filled, fill
from headgate.monitoring.traffic import Traffic
from headgate.settings import load_settings
from tasks.announcing import announce_arrival
from tasks.once import once_per_run
from tasks.places import the_lake
from tasks.watching_production import in_slices


def watched_models(model: str | None) -> list[str]:
    """The model, or all of headgate.toml; BadSettings if there is none of this name."""
    if model:
        load_settings().model(model)
        return [model]
    return sorted(load_settings().models)


@once_per_run("collect corrections")
def collect_corrections(model: str) -> Collected:
    """Land the corrections that came since the last run."""
    return collect(the_lake(), model, load_settings().model(model), datetime.now(UTC))


@once_per_run("announce corrections")
def announce_corrections(collected: Collected) -> None:
    """Emit `headgate.landing.arrived`, and try again until the server has it."""
    announce_arrival(collected.dataset, [the_lake().join(key) for key in collected.files])


@once_per_run("fill queue")
def fill_queue(model: str, traffic: Traffic | None = None) -> Filled:
    """Put what annotators should label next into the queue, slices that grew in the traffic too, and take out what they labelled."""
    slices = slices_of(traffic.drifts) if traffic else ()
    drifted = in_slices(slices, traffic.start) if traffic and slices else None
    return fill(the_lake(), model, load_settings().model(model), datetime.now(UTC), drifted)


@once_per_run("report feedback")
def report_feedback(collected: Collected, filled: Filled) -> None:
    """Say in the log, and in an artifact where anything changed, what came and what became of it."""
    told = list(lines(collected, filled))
    for line in told:
        get_run_logger().info("%s", line)
    if collected.nothing and filled.nothing:
        return
    markdown = "\n".join(["Corrections and queue", "", *(f"* {line}" for line in told)])
    create_markdown_artifact(
        key=f"feedback-{collected.model}", description=f"Corrections and queue of {collected.model}", markdown=markdown
    )
