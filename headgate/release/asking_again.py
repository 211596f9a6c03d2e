"""A release whose rollout was inconclusive is asked about again, over its evidence and what the rollout saw.

A release record never changes, so the question is about a new record: the same bundle, the same tests, one section more on the page.
Its approval, its rollout and its audit entries are its own. Each step can be repeated: equal content gives equal ids.
"""

import hashlib
import html
import json

from headgate.lake import Lake
from headgate.release.candidate import note_release
from headgate.release.record import Release, folder, save_release
from headgate.release.rollout import Analysis, Finding

PLACE = b'<section id="gates">'
COLUMNS = ("metric", "challenger", "champion", "allowed", "evidence", "verdict")


def ask_again(lake: Lake, release: Release, environment: str, reason: str, seen: Analysis | None, live: str | None) -> Release:
    """Write the new record with its evidence and return it; `live` is production's champion now."""
    before = f"{folder(release.id)}/evidence"
    page = with_section(lake.read(f"{before}/index.html"), section(release, environment, reason, seen))
    asked = release.model_copy(update={"evidence_digest": hashlib.sha256(page).hexdigest(), "expected_champion": live})
    summary = f"**An earlier rollout in {environment} was {reason}**\n\n".encode() + lake.read(f"{before}/summary.md")
    told = {"environment": environment, "reason": reason, "release": release.id, "analysis": seen.model_dump(mode="json") if seen else None}
    changed = {"index.html": page, "summary.md": summary, f"rollout-{release.id[:12]}.json": json.dumps(told, indent=1).encode()}
    kept = {key.removeprefix(f"{before}/"): key for key in lake.keys(before)}
    for name in sorted(kept.keys() | changed.keys()):
        lake.put_if_absent(f"{folder(asked.id)}/evidence/{name}", changed[name] if name in changed else lake.read(kept[name]))
    save_release(lake, asked)
    note_release(lake, asked)
    return asked


def with_section(page: bytes, added: str) -> bytes:
    """The page with a section before its gates; at its end where it has none."""
    before, found, after = page.partition(PLACE)
    return before + added.encode() + found + after if found else page + added.encode()


def section(release: Release, environment: str, reason: str, seen: Analysis | None) -> str:
    """What the rollout saw, as HTML."""
    rows = "".join(_row(one) for one in seen.findings) if seen else ""
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else "<p>Nothing was compared.</p>"
    told = f"<p>Release {release.id[:12]} in {html.escape(environment)}: {html.escape(reason)}. All weight went back to the champion.</p>"
    return f'<section id="rollout-{release.id[:12]}"><h2>What an earlier rollout saw</h2>{told}{table}</section>\n'


def _row(one: Finding) -> str:
    cells = (one.metric, one.value(one.challenger), one.value(one.champion), one.allowed, one.odds, one.verdict)
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
