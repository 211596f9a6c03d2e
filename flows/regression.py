"""The live champion on the frozen regression set, again and again."""

from prefect import flow

from tasks.watching import keep_history, live_models, raise_alarm, report_history, test_champion


@flow(name="regression_test", flow_run_name="regression test")
def regression_test(model: str | None = None) -> dict[str, str]:
    """Score the live champion through its production endpoint, keep the history, and raise an alarm if it changed.

    Args:
        model: table of headgate.toml; all models that have a champion if empty
    """
    verdicts = {}
    for name in live_models(model):
        measured = test_champion(name)
        history = keep_history(name, measured)
        report_history(name, history)
        if alarm := history.alarm:
            raise_alarm(name, history, alarm)
        verdicts[name] = history.alarm or "passed"
    return verdicts
