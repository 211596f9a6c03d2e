"""The traffic of the live champion: judged, shown on a page, and told where what is alarming about it changed."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from headgate.errors import BadSettings, Unavailable
from headgate.lake import Lake
from headgate.model.language import language_of
from headgate.monitoring.alarms import Alarm, Way, alarm_words, changed, keep_alarm, mark_told, newest_alarms, untold
from headgate.monitoring.calibrated_drift import Slice, slices_of
from headgate.monitoring.history import history
from headgate.monitoring.hours import bins_of
from headgate.monitoring.prediction_log import Prediction, predicted_at
from headgate.monitoring.quality import blamed, quality
from headgate.monitoring.queueing import Drifted, queue_slice
from headgate.monitoring.traffic import Traffic
from headgate.monitoring.trends import trends
from headgate.monitoring.watch_page import keep_newest, keep_page, render, summary
from headgate.monitoring.watching import measures, watch
from headgate.release.champion import champion
from headgate.release.notice import send, watch_text
from headgate.release.record import load_release
from headgate.settings import load_settings
from tasks.announcing import emit_confirmed
from tasks.candidates import production
from tasks.once import once_per_run
from tasks.places import in_regions, the_lake, watch_url

ALARM, CLEARED = "headgate.monitoring.alarm", "headgate.monitoring.cleared"
NEWS = timedelta(hours=1)


@once_per_run("look at traffic")
def look_at_traffic(model: str) -> Traffic | None:
    """Count what is new in the prediction log and judge the champion's newest window, with its page; None before the first release."""
    lake, settings = the_lake(), load_settings().model(model)
    live = champion(lake, model, production(settings))
    if live is None:
        return None
    data = load_release(lake, live.release).data_version
    found, hours = watch(lake, live, data, settings, measures(settings.watch), datetime.now(UTC))
    alarm = _standing(lake, found)
    reasons = alarm.reasons if alarm else {}
    page = render(found, trends(hours, live.release), reasons, history(lake, model), settings.watch)
    keep_newest(lake, found, reasons)
    keep_page(lake, found, page)
    return found


def _standing(lake: Lake, found: Traffic) -> Alarm | None:
    """The alarm as it is after this look, kept where it changed."""
    last = next(reversed(newest_alarms(lake, found.model, 1)), None)
    new = changed(last, found, load_settings().model(found.model).watch)
    return keep_alarm(lake, new) if new else last


@once_per_run("queue drifted slices")
def queue_drifted(model: str, found: Traffic) -> int:
    """Queue the window's texts that lie in a slice that grew; how many are new."""
    slices = slices_of(found.drifts)
    if not slices:
        return 0
    settings = load_settings().model(model)
    return queue_slice(the_lake(), model, settings, datetime.now(UTC), in_slices(slices, found.start), found.start, found.end)


def in_slices(slices: Sequence[Slice], since: datetime) -> Drifted:
    """Whether an answer was given since a moment and lies in one of the slices that grew."""
    languages = language_of if any(part.column == "language" for part in slices) else None

    def holds(answer: Prediction) -> bool:
        if predicted_at(answer.prediction_id) < since:
            return False
        found = bins_of(answer, languages)
        return any(
            part.holds(found[part.column] if part.name is not None else float(found[part.column]))
            for part in slices
            if part.column in found
        )

    return holds


@once_per_run("put metrics")
def put_metrics(model: str, found: Traffic) -> int:
    """The look's measures in CloudWatch, where stages are in regions of SageMaker; how many took them.

    They tell too whether it is the judged release that is alarming, by which an update to it goes back: docs/sagemaker.md. A look that a
    run which goes on much later finds is no news: CloudWatch would take it for one of now.
    """
    settings = load_settings().model(model)
    if not in_regions(settings) or datetime.now(UTC) - found.at > NEWS:
        return 0
    from tasks.regions import put_metrics_of  # AWS's client takes a while to load

    standing = next(reversed(newest_alarms(the_lake(), model, 1)), None)
    failed = bool(blamed(found, standing, settings.watch))
    return put_metrics_of(model, found.release, quality(found, standing), failed)


@once_per_run("show traffic")
def show_traffic(model: str, found: Traffic) -> None:
    """The look as an artifact in the Prefect UI, with a link to its page."""
    last = newest_alarms(the_lake(), model, 1)
    markdown = summary(found, last[-1].reasons if last else {}, watch_url(model))
    create_markdown_artifact(key=f"watch-{model}", description=f"Production of {model}", markdown=markdown)


@once_per_run("tell alarms")
def tell_alarms(model: str) -> int:
    """Tell what was not told yet: as an event, and to the webhook if there is one. What cannot be told now is told by the next run."""
    lake = the_lake()
    return _told(lake, model, "event", _tell_event) + _told(lake, model, "webhook", _tell_webhook)


def _told(lake: Lake, model: str, way: Way, tell: Callable[[Alarm, dict[str, str]], None]) -> int:
    """Tell in one way, oldest first, and mark each; how many were told."""
    found = 0
    try:
        for alarm, before in untold(lake, model, way):
            tell(alarm, before)
            mark_told(lake, alarm, way)
            found += 1
    except (Unavailable, BadSettings) as fault:
        get_run_logger().warning("an alarm was not told, the next run tries again: %s", fault)
    return found


def _tell_event(alarm: Alarm, before: dict[str, str]) -> None:
    words = alarm_words(alarm, before)
    (get_run_logger().error if alarm.reasons else get_run_logger().info)("%s", words)
    payload = {"model": alarm.model, "release": alarm.release, "reasons": alarm.reasons, "words": words, "page": watch_url(alarm.model)}
    name = ALARM if alarm.reasons else CLEARED
    emit_confirmed(name, f"headgate.model.{alarm.model}", payload, key=f"{alarm.model}/{alarm.name}/{alarm.at.isoformat()}")


def _tell_webhook(alarm: Alarm, before: dict[str, str]) -> None:
    if send(load_settings().notice, watch_text(alarm_words(alarm, before), watch_url(alarm.model))):
        get_run_logger().info("told the webhook of alarm %s", alarm.name)
