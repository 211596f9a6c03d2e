"""From nothing, or from half of it, to a stack that takes work."""

import hashlib
from pathlib import Path

from headgate.settings import load_settings
from stack.services import Addresses, Say, start, start_annotation_gateway, start_workers
from tasks.places import local_target


def bring_up(say: Say) -> Addresses:
    """Start the services, deploy the flows if they changed, start lost runs again, and start the worker."""
    settings, checkout = load_settings(), Path.cwd()
    say("starting the local stack (Prefect, MLflow, gateway) ...")
    addresses = start(settings, say)
    _deploy_if_changed(checkout, settings.home.absolute() / "deployed", say)
    _recover(say)
    for line in local_target().recover():
        say(f"found: {line}")
    start_workers(settings, addresses)
    if taken := start_annotation_gateway(settings, addresses, say):
        say(f"annotations are taken on {taken} (docs/arrivals.md)")
    return addresses


def _deploy_if_changed(checkout: Path, mark: Path, say: Say) -> None:
    from stack.orchestration import deploy_flows, set_schedule

    digest = _flows_digest(checkout)
    if mark.exists() and mark.read_text() == digest:
        return
    say("deploying the flows of prefect.yaml ...")
    deploy_flows(checkout)
    set_schedule("bridge_landing", active=bool(load_settings().arrivals.queue_url))
    mark.write_text(digest)


def _recover(say: Say) -> None:
    from stack.orchestration import client
    from stack.recovery import recover

    with client() as api:
        for line in recover(api):
            say(f"found: {line}")


def _flows_digest(checkout: Path) -> str:
    """Changes when prefect.yaml, a flow's signature, or what is created from the settings may have: the bridge."""
    files = [checkout / "prefect.yaml", *sorted((checkout / "flows").glob("*.py"))]
    more = f"{checkout}{load_settings().arrivals.queue_url}"
    return hashlib.sha256(b"".join(file.read_bytes() for file in files) + more.encode()).hexdigest()
