"""An inconclusive rollout is asked about again."""

from headgate.errors import Refused
from headgate.release.asking_again import ask_again
from headgate.release.champion import champion
from headgate.release.record import Release
from headgate.release.registry import set_alias
from headgate.settings import load_settings
from tasks.asking import start_gate_run
from tasks.candidates import production
from tasks.driving import StageEnd
from tasks.once import once_per_run
from tasks.places import the_lake


@once_per_run("ask again")
def ask_again_after(release: Release, ended: StageEnd) -> str:
    """Start a gate run over what an inconclusive rollout saw, one however often this is repeated; ends this run as refused."""
    lake = the_lake()
    live = champion(lake, release.model, production(load_settings().model(release.model)))
    asked = ask_again(lake, release, ended.environment, ended.reason, ended.analysis, live.release if live else None)
    set_alias(release.model, "challenger", release.registered_version)
    start_gate_run(asked)
    raise Refused(
        f"release {release.id[:12]} was taken back in {ended.environment}: {ended.reason}; "
        f"release {asked.id[:12]}, the same bundle with what was seen, waits for approval"
    )
