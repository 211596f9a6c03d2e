"""What production teaches: how its traffic changes, corrections by users, and the texts that annotators should look at."""

from prefect import flow

from tasks.feedback import announce_corrections, collect_corrections, fill_queue, report_feedback, watched_models
from tasks.watching_production import look_at_traffic, put_metrics, queue_drifted, show_traffic, tell_alarms


@flow(name="watch_production", flow_run_name="watch production")
def watch_production(model: str | None = None) -> dict[str, int]:
    """Land corrections as annotations, judge the champion's traffic and tell alarms, and fill the queue of texts to label.

    Returns the rows that landed, by model.

    Args:
        model: table of headgate.toml; all models if empty
    """
    landed = {}
    for name in watched_models(model):
        collected = collect_corrections(name)
        if collected.files:
            announce_corrections(collected)
        if traffic := look_at_traffic(name):
            tell_alarms(name)
            put_metrics(name, traffic)
            show_traffic(name, traffic)
            queue_drifted(name, traffic)
        filled = fill_queue(name, traffic)
        report_feedback(collected, filled)
        landed[name] = sum(collected.landed.values())
    return landed
