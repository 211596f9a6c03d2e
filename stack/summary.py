"""What a person reads at the end of a run: where everything is, and what to do next."""

import shlex
from uuid import UUID

from headgate.release.candidate import Standing
from headgate.release.record import Release
from headgate.release.signatures import how_to_sign
from headgate.settings import load_settings
from stack.services import Addresses
from tasks.places import endpoint_name, evidence_file, evidence_url, target_named, the_lake

EXAMPLE = '{"instances": [{"text": "Sounds good, does Thursday suit you?"}]}'


def closing_lines(model: str, known: Standing, addresses: Addresses) -> list[str]:
    """Addresses, evidence, one request to try, and how to stop."""
    lines = ["", f"{_headline(model, known)}", ""]
    lines += [f"  Prefect UI   {addresses.prefect}", f"  MLflow       {addresses.mlflow}"]
    settings = load_settings().model(model)
    stage = settings.rollout.stages[-1]
    status = target_named(stage.target).status(endpoint_name(model, stage.environment))
    if status.url and status.champion:
        lines.append(f"  endpoint     {status.url}  (release {status.champion.release[:12]})")
    if known.release:
        lines += [f"  evidence     {evidence_file(known.release)}", f"               {evidence_url(known.release)}"]
    if status.url and status.champion:
        lines += [
            "",
            "Get a prediction:",
            f"  curl -s {status.url}/invocations -H 'Content-Type: application/json' -d {shlex.quote(EXAMPLE)}",
        ]
    return [*lines, "", "Stop everything, losing nothing:", "  make stop"]


def _headline(model: str, known: Standing) -> str:
    """One sentence on where the newest candidate is."""
    subject = f"release {known.release[:12]}" if known.release else "the candidate"
    return {
        "live": f"{model}: {subject} is live in production",
        "waiting": f"{model}: {subject} {known.why}",
        "rejected": f"{model}: {subject} was rejected by {known.why}; the champion stays",
        "stopped": f"{model}: {subject} was stopped: {known.why}",
        "rolled_back": f"{model}: {subject} was rolled back: {known.why}; the champion stays",
        "replaced": f"{model}: {subject} was replaced: {known.why}",
        "new": f"{model}: the candidate is not finished; see the failed run in the Prefect UI, mend its cause and run again",
    }[known.kind]


def how_to_approve(release: Release, run_id: UUID) -> list[str]:
    """The two ways to answer a waiting release."""
    from stack.services import known_addresses

    addresses = known_addresses(load_settings())
    short = release.id[:12]
    if needed := load_settings().model(release.model).approval.signatures:
        return [
            f"approving takes {needed} signature(s); each of the people runs",
            f"  {how_to_sign(release)}     (or: headgate reject {short})",
        ]
    return [
        "approve or reject it in one of two ways:",
        f'  headgate approve {short} --as you@example.com --reason "..."     (or: headgate reject ...; in .venv/bin)',
        f"  {addresses.prefect if addresses else ''}/runs/flow-run/{run_id}     (Resume)",
    ]


def summary_text(release: Release) -> str:
    """The evidence summary that the approval form shows."""
    return the_lake().read(f"releases/{release.id}/evidence/summary.md").decode()
