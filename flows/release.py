"""A tested release waits for a person, then goes through the stages; it goes back by itself if a stage fails."""

from prefect import flow
from prefect.runtime import flow_run

from flows.decision import await_decision
from headgate.settings import load_settings
from tasks.gate import close_rejected, open_release
from tasks.reasking import ask_again_after
from tasks.rolling_out import align_staging, finish_release, roll_out, undo_stages


def _name() -> str:
    return f"release {str(flow_run.parameters['release'])[:12]}"


@flow(name="release_candidate", flow_run_name=_name)
def release_candidate(release: str) -> str:
    """Ask for approval of a tested release, then canary, bake and promote it stage by stage.

    Args:
        release: id of a release whose regression and load test passed
    """
    subject = open_release(release)
    decision = await_decision(subject)
    if decision.decision == "reject":
        return close_rejected(subject, decision)

    stages = load_settings().model(subject.model).rollout.stages
    for position, stage in enumerate(stages):
        ended = roll_out(subject, stage)
        if not ended.promoted:
            undo_stages(subject, stages[:position], ended)
            return ask_again_after(subject, ended)  # reached by an inconclusive one only: a failed one ended the run
    align_staging(subject)
    return finish_release(subject, decision)
