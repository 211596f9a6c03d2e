"""Going back to an earlier release by a person's word."""

from datetime import UTC, datetime

from prefect.logging import get_run_logger

from headgate.errors import Refused
from headgate.lake import Lake
from headgate.release.audit import append
from headgate.release.champion import Champion, champion
from headgate.release.configuration import Configuration, configuration_of
from headgate.release.record import Release, load_release
from headgate.release.registry import alias_of, set_alias
from headgate.release.verification import check
from headgate.settings import ModelSettings, Stage, load_settings
from tasks.candidates import production
from tasks.once import once_per_run
from tasks.places import endpoint_name, the_lake
from tasks.putting_back import each_goes_back, put_back


@once_per_run("choose release")
def choose_release(model: str, to: str | None) -> Release:
    """The release to go back to: the given one, or the one before production's champion. Refused before anything moves."""
    lake, settings = the_lake(), load_settings().model(model)
    live = champion(lake, model, production(settings))
    if live is None:
        raise Refused(f"{model}: expected a champion in {production(settings)}, found none; nothing to roll back")
    if to is None and (told := stopped_between(lake, settings, live)):
        raise Refused(told)
    if to is None and not live.previous:
        raise Refused(f"{model}: release {live.release[:12]} is the first; there is no earlier one to go back to")
    chosen = load_release(lake, to or live.previous[0])
    _require_window(live, chosen, settings.rollout.rollback_window_revisions)
    _tell_configuration(chosen, configuration_of(settings))
    return chosen


def stopped_between(lake: Lake, settings: ModelSettings, live: Champion) -> str:
    """Why "the release before" is no answer: a stage has another champion than production, whose own one may be meant. Else empty."""
    for stage in settings.rollout.stages:
        found = champion(lake, live.model, stage.environment)
        if found and found.release != live.release:
            return (
                f"{live.model}: release {found.release[:12]} is champion in {stage.environment}, and {live.release[:12]} in "
                f"{live.environment}: a rollout or a rollback stopped between them; to have {live.release[:12]} everywhere: "
                f"headgate rollback --to {live.release[:12]} --reason ...; to leave it as well, name an earlier release with --to"
            )
    return ""


def _require_window(live: Champion, chosen: Release, window: int) -> None:
    """Refused where the release never was champion, or lies further back than the policy allows without a new rollout."""
    if chosen.id not in (live.release, *live.previous):
        raise Refused(
            f"release {chosen.id[:12]}: expected one that was champion of {live.model} before, found one that never was; approve it instead"
        )
    if chosen.id not in (live.release, *live.previous[:window]):
        raise Refused(
            f"{live.model} in {live.environment}: release {chosen.id[:12]} is none of the last {window} champions "
            "(rollout.rollback_window_revisions); `headgate retest` takes it through the gates again"
        )


def _tell_configuration(chosen: Release, today: Configuration) -> None:
    """Say where the release's servers are told something else than headgate.toml says today."""
    recorded = chosen.configuration
    if recorded is None:
        get_run_logger().info("release %s recorded no configuration; its servers are told what headgate.toml says today", chosen.id[:12])
    elif recorded != today:
        now, then = today.model_dump(), recorded.model_dump()
        told = "; ".join(f"{name} {then[name]} (headgate.toml: {now[name]})" for name in then if then[name] != now[name])
        get_run_logger().warning("release %s brings its own configuration back: %s", chosen.id[:12], told)


def stages_backwards(model: str) -> tuple[Stage, ...]:
    """The stages that have a champion, production first."""
    stages = load_settings().model(model).rollout.stages
    return tuple(stage for stage in reversed(stages) if champion(the_lake(), model, stage.environment))


def roll_back_stages(model: str, release: Release, who: str, reason: str) -> None:
    """Make the release champion again wherever there is one, production first; Refused or Unavailable tells of all stages that failed."""
    faults = each_goes_back(stages_backwards(model), lambda stage: roll_back_stage(model, stage, release, who, reason))
    if faults:
        raise Refused("; ".join(faults))


@once_per_run("roll back stage")
def roll_back_stage(model: str, stage: Stage, release: Release, who: str, reason: str) -> None:
    """Make the release champion of a stage again, and prove it by what its endpoint says and answers."""
    proof = put_back(stage, release, who, reason)
    get_run_logger().info("%s: release %s is champion again; %s", endpoint_name(model, stage.environment), release.id[:12], proof)


@once_per_run("finish rollback")
def finish_rollback(model: str, release: Release, who: str) -> str:
    """Let MLflow's alias follow, and read it back."""
    set_alias(model, "champion", release.registered_version)
    alias = check("MLflow's alias champion", release.registered_version, alias_of(model, "champion"))
    if not alias.passed:
        told = f"{alias}; somebody moved it meanwhile: repeat the same command"
        append(the_lake(), now=datetime.now(UTC), who=who, action="roll_back_failed", model=model, release=release.id, reason=told)
        raise Refused(f"{model}: {told}")
    get_run_logger().info("%s went back to release %s (data version %d)", model, release.id[:12], release.data_version.version)
    return release.id
