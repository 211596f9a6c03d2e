"""What a candidate has that the champion has not: rows, commits and settings."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from headgate.checkout import DIRTY
from headgate.evaluation.evidence_record import CodeChange, DataChange, SettingChange
from headgate.lake import Lake
from headgate.release.record import folder
from headgate.settings import ModelSettings

SETTINGS: dict[str, Any] = dict.fromkeys(("train", "filters", "gates", "labels", "data_checks", "serving"), True) | {
    "feedback": {"log_text"}
}
COMMITS_SHOWN = 200
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def data_changes(feed: pd.DataFrame) -> tuple[DataChange, ...]:
    """Net changes by the label that rows have now (removed ones: had), from a change feed in the order of its versions.

    A row that came and was corrected since is added once; one that came and went is not counted.
    """
    kept = feed[feed["_change_type"] != "update_preimage"].sort_values("_commit_version", kind="stable")
    rows = kept.groupby("id", sort=False).agg(first=("_change_type", "first"), last=("_change_type", "last"), label=("label", "last"))
    came, went = rows["first"] == "insert", rows["last"] == "delete"
    kinds = {"added": came & ~went, "corrected": ~came & ~went, "removed": ~came & went}
    counts = {kind: Counter(rows.loc[mask, "label"]) for kind, mask in kinds.items()}
    labels = sorted(set().union(*counts.values()))
    return tuple(DataChange(label=label, **{kind: found[label] for kind, found in counts.items()}) for label in labels)


def code_changes(champion: str | None, candidate: str, checkout: Path | None = None) -> tuple[CodeChange, ...] | None:
    """Commits of the candidate that the champion's commit does not have, newest first; None if the checkout lacks one of them."""
    old, new = (commit.removesuffix(DIRTY) for commit in (champion or "", candidate))
    if not (_COMMIT.fullmatch(old) and _COMMIT.fullmatch(new)):
        return None
    command = ["git", "log", f"--max-count={COMMITS_SHOWN}", "--format=%H%x09%cs%x09%s", f"{old}..{new}", "--"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=checkout).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    parts = [line.split("\t", 2) for line in found.splitlines()]
    return tuple(CodeChange(commit=commit, day=day, subject=subject) for commit, day, subject in parts)


def flat_settings(settings: ModelSettings) -> dict[str, str]:
    """The settings that decide how a candidate comes out and how it is judged, by dotted name."""
    return dict(sorted(_flat("", settings.model_dump(mode="json", include=SETTINGS))))


def settings_of(lake: Lake, release_id: str) -> dict[str, str] | None:
    """The settings that a release's evidence recorded; None if it is older than that record."""
    entry = lake.get(f"{folder(release_id)}/evidence/evidence.json")
    found = json.loads(entry.data).get("settings") if entry else None
    return {str(name): str(value) for name, value in found.items()} if found else None


def setting_changes(champion: Mapping[str, str] | None, candidate: Mapping[str, str]) -> tuple[SettingChange, ...] | None:
    """Settings that differ; None if the champion's are not known."""
    if champion is None:
        return None
    names = sorted(name for name in champion.keys() | candidate.keys() if champion.get(name) != candidate.get(name))
    return tuple(SettingChange(name=name, champion=champion.get(name), candidate=candidate.get(name)) for name in names)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, part)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
