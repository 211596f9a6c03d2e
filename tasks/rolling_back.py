"""Going back to an earlier release by a person's word."""

from prefect.logging import get_run_logger

from headgate.errors import Refused
from headgate.evaluation.endpoint import endpoint_test
from headgate.release.champion import champion
from headgate.release.record import Release, load_release
from headgate.release.registry import set_alias
from headgate.settings import Stage, load_settings
from tasks.candidates import production
from tasks.once import once_per_run
from tasks.places import endpoint_name, revision_of, target_named, the_lake
from tasks.rolling_out import put_back


@once_per_run("choose release")
def choose_release(model: str, to: str | None) -> Release:
    """The release to go back to: the given one, or the one before production's champion."""
    lake, settings = the_lake(), load_settings().model(model)
    live = champion(lake, model, production(settings))
    if live is None:
        raise Refused(f"{model}: expected a champion in {production(settings)}, found none; nothing to roll back")
    if to is None and not live.previous:
        raise Refused(f"{model}: release {live.release[:12]} is the first; there is no earlier one to go back to")
    chosen = load_release(lake, to or live.previous[0])
    if chosen.id not in (live.release, *live.previous):
        raise Refused(
            f"release {chosen.id[:12]}: expected one that was champion of {model} before, found one that never was; approve it instead"
        )
    return chosen


def stages_backwards(model: str) -> tuple[Stage, ...]:
    """The stages that have a champion, production first."""
    stages = load_settings().model(model).rollout.stages
    return tuple(stage for stage in reversed(stages) if champion(the_lake(), model, stage.environment))


@once_per_run("roll back stage")
def roll_back_stage(model: str, stage: Stage, release: Release, who: str, reason: str) -> None:
    """Make the release champion of a stage again, and prove it with the endpoint test."""
    put_back(model, stage, who, reason, to=release.id)
    target, endpoint = target_named(stage.target), endpoint_name(model, stage.environment)
    found = endpoint_test(lambda body: target.invoke(endpoint, body, cohort="champion"), revision_of(release.id).bundle)
    if found:
        raise Refused(f"{endpoint}: went back to release {release.id[:12]}, but its endpoint test found {len(found)} fault(s): {found[0]}")
    get_run_logger().info("%s: release %s is champion again and answers as recorded", endpoint, release.id[:12])


@once_per_run("finish rollback")
def finish_rollback(model: str, release: Release) -> str:
    """Let MLflow's alias follow."""
    set_alias(model, "champion", release.registered_version)
    get_run_logger().info("%s went back to release %s (data version %d)", model, release.id[:12], release.data_version.version)
    return release.id
