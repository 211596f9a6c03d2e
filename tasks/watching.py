"""The scheduled regression test of the live champion: its history, and the alarm when it changed."""

import shutil
from datetime import UTC, datetime

from prefect.artifacts import create_table_artifact
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from headgate.data.frozen import load_frozen
from headgate.evaluation.regression import regression_test
from headgate.evaluation.report import Report, Subject
from headgate.monitoring.history import Measurement, add_measurement, alarm, history
from headgate.record import Record
from headgate.release.champion import champion
from headgate.release.record import load_release
from headgate.settings import load_settings
from tasks.candidates import production, regression_version
from tasks.once import once_per_run
from tasks.places import endpoint_name, target_named, the_lake
from tasks.scoring_chunks import score_cohorts


class History(Record):
    """All measurements of a model's champions, oldest first, and what is wrong with the newest."""

    measurements: tuple[Measurement, ...]
    alarm: str | None


def live_models(model: str | None) -> list[str]:
    """The model, or all that have a champion in production."""
    if model:
        return [model]
    models = load_settings().models
    return [name for name, settings in models.items() if champion(the_lake(), name, production(settings))]


@once_per_run("test champion")
def test_champion(model: str) -> Report:
    """Score the frozen rows through the production endpoint's champion."""
    lake, settings = the_lake(), load_settings().model(model)
    live = champion(lake, model, production(settings))
    assert live is not None
    rows = load_frozen(lake, settings.regression_set)
    target, endpoint = target_named(settings.rollout.stages[-1].target), endpoint_name(model, production(settings))
    out, data = load_settings().home.absolute() / "regression" / model, regression_version(lake, settings)
    chunks = out / "scores" / str(flow_run.id)  # another night's answers are no evidence of this one's
    subject = Subject(role="champion", model=model, bundle_digest=load_release(lake, live.release).bundle_digest)
    answers = score_cohorts(target, endpoint, {"champion": subject.bundle_digest}, rows, data, chunks)["champion"]
    report = regression_test(subject, data, rows, answers, settings.gates, out)
    shutil.rmtree(chunks)
    return report


@once_per_run("keep history")
def keep_history(model: str, report: Report) -> History:
    """Add the measurement to the lake's history and compare it with the one before."""
    lake, settings = the_lake(), load_settings().model(model)
    live = champion(lake, model, production(settings))
    assert live is not None
    newest = Measurement(
        model=model,
        release=live.release,
        at=datetime.now(UTC),
        rows=report.candidate.rows,
        accuracy=report.candidate.accuracy,
        macro_f1=report.candidate.macro_f1,
        coverage=report.candidate.coverage,
        verdict=report.verdict,
    )
    add_measurement(lake, newest)
    known = history(lake, model)
    return History(measurements=tuple(known), alarm=alarm(known, settings.gates))


@once_per_run("report history")
def report_history(model: str, known: History) -> None:
    """The last measurements as a table in the Prefect UI."""
    newest = known.measurements[-1]
    get_run_logger().info("%s: accuracy %.3f, macro-F1 %.3f over %d rows", model, newest.accuracy, newest.macro_f1, newest.rows)
    table = [
        {
            "at": f"{m.at:%Y-%m-%d %H:%M}",
            "release": m.release[:12],
            "accuracy": f"{m.accuracy:.3f}",
            "macro-F1": f"{m.macro_f1:.3f}",
            "verdict": m.verdict,
        }
        for m in reversed(known.measurements[-30:])
    ]
    create_table_artifact(
        table, key=f"regression-history-{model}", description=f"Regression tests of {model}'s live champion, newest first"
    )


@once_per_run("raise alarm")
def raise_alarm(model: str, known: History, reason: str) -> None:
    """Emit `headgate.regression.alarm`."""
    get_run_logger().error("ALARM %s: %s", model, reason)
    release = known.measurements[-1].release
    emit_event(
        "headgate.regression.alarm",
        resource={"prefect.resource.id": f"headgate.model.{model}"},
        payload={"release": release, "reason": reason},
    )
