"""`headgate approve --key`: signing an approval. It needs the lake and the key, not the stack."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from headgate.errors import Refused
from headgate.lake import Lake
from headgate.release.approval import Answer, decision_of, faults
from headgate.release.audit import append, entries, over
from headgate.release.binding import require_evidence
from headgate.release.champion import champion
from headgate.release.record import Release, load_release
from headgate.release.signatures import Signatures, Signer, how_to_sign, sign_release, signatures
from headgate.settings import ModelSettings, load_settings
from tasks.places import the_lake

Say = Callable[[str], None]


def sign_approval(release_id: str, who: str, why: str, key: Path, say: Say) -> bool:
    """Sign, keep the signature in the lake and in the audit log; says whether enough people have signed. Refused as the gate would."""
    lake = the_lake()
    release = load_release(lake, release_id)
    settings = load_settings().model(release.model)
    answer, now = Answer(decision="approve", approver=who, reason=why), datetime.now(UTC)
    _check(lake, release, answer, settings)
    signer = sign_release(lake, release, answer, key, settings.approval, now)
    _log(lake, release, signer)
    found = signatures(lake, release, settings.approval, datetime.now(UTC))
    say(f"release {release.id[:12]} is signed by {signer.who} with key {signer.key}")
    for line in _standing(release, found, settings.approval.signatures):
        say(line)
    return len(found.counted) >= settings.approval.signatures


def _check(lake: Lake, release: Release, answer: Answer, settings: ModelSettings) -> None:
    """Refused where the gate would refuse the answer anyhow."""
    if release.verdict != "passed":
        raise Refused(f"release {release.id[:12]}: its tests {release.verdict}; only a release that passed can be approved")
    if decision_of(lake, release.id):
        raise Refused(f"release {release.id[:12]} is decided already; see `headgate audit`")
    live = champion(lake, release.model, settings.rollout.stages[-1].environment)
    if found := faults(answer, release, live.release if live else None, settings.approval, timedelta()):
        raise Refused(f"release {release.id[:12]}: {'; '.join(found)}")
    require_evidence(lake, release)


def _log(lake: Lake, release: Release, signer: Signer) -> None:
    """One entry a signature, also where a kill came between."""
    if any((entry.release, entry.action, entry.who, entry.at) == (release.id, "sign", signer.who, signer.at) for entry in entries(lake)):
        return
    append(
        lake,
        now=signer.at,
        who=signer.who,
        action="sign",
        model=release.model,
        release=release.id,
        reason=signer.reason,
        over=over(release, (signer.who,)),
    )


def _standing(release: Release, found: Signatures, needed: int) -> list[str]:
    """How many signatures count, why others do not, and who goes on."""
    lines = [f"  {fault}" for fault in found.faults]
    if needed:
        lines.append(f"  {len(found.counted)} of {needed} signature(s): {', '.join(found.names)}")
    if len(found.counted) < needed:
        lines.append(f"  next: another person runs  {how_to_sign(release)}")
    return lines
