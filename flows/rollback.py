"""The release before becomes champion again."""

from prefect import flow

from tasks.rolling_back import choose_release, finish_rollback, roll_back_stages


@flow(name="rollback_release", flow_run_name="roll back {model}")
def rollback_release(model: str, who: str, reason: str, to: str | None = None) -> str:
    """Put an earlier release back in every stage, last stage first, and prove by what each endpoint says and answers that it serves.

    Args:
        model: table of headgate.toml
        who: who decides, for example you@example.com
        reason: why; kept in the audit log
        to: id of the release to go back to; the one before the champion if empty
    """
    target = choose_release(model, to)
    roll_back_stages(model, target, who, reason)
    return finish_rollback(model, target, who)
