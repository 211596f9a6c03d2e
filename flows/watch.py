"""What production teaches: corrections by users, and the texts that annotators should look at."""

from prefect import flow

from tasks.feedback import announce_corrections, collect_corrections, fill_queue, report_feedback, watched_models


@flow(name="watch_production", flow_run_name="watch production")
def watch_production(model: str | None = None) -> dict[str, int]:
    """Land corrections as annotations and fill the queue of texts to label; returns the rows that landed, by model.

    Args:
        model: table of headgate.toml; all models if empty
    """
    landed = {}
    for name in watched_models(model):
        collected = collect_corrections(name)
        if collected.files:
            announce_corrections(collected)
        filled = fill_queue(name)
        report_feedback(collected, filled)
        landed[name] = sum(collected.landed.values())
    return landed
