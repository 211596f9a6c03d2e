"""New rows may set off a training: the ledger decides for each model, and says why or why not."""

from prefect import flow

from headgate.errors import HeadgateError
from tasks.triggering import decide_training, models_of, report_decision, start_training


@flow(name="decide_retraining", flow_run_name="decide on trainings")
def decide_retraining(dataset: str | None = None, started_by: str = "automation:catch-up") -> dict[str, str]:
    """Decide for each model of a data set whether it is trained on the newest data version now, and start what is due.

    Args:
        dataset: data set that has new rows; every model is looked at if empty
        started_by: `automation:<event>`, kept in the release record of what is trained
    """
    reasons: dict[str, str] = {}
    faults: list[HeadgateError] = []
    for model in models_of(dataset):
        try:
            decided = decide_training(model, started_by)
            report_decision(decided)
            if decided.decision.decision == "train":
                start_training(decided.decision)
            reasons[model] = decided.decision.reason
        except HeadgateError as fault:  # the other models are not kept waiting
            faults.append(fault)
    if faults:
        raise faults[0]
    return reasons
