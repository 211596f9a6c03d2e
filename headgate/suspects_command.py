"""`headgate data suspects`: the rows whose label is suspected to be wrong, as a file that can be corrected and landed again."""

import json
from collections.abc import Hashable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.errors import BadInput, Conflict
from headgate.settings import load_settings

if TYPE_CHECKING:
    from headgate.model.label_errors import Suspect

Model = Annotated[str | None, typer.Option(help="table of headgate.toml; may be left out where there is one only", show_default=False)]


def write_suspects(
    out: Annotated[Path, typer.Argument(help="JSON Lines file to write", show_default=False)],
    model: Model = None,
    most: Annotated[int, typer.Option(min=1, help="rows at most, the most suspected first")] = 200,
) -> None:
    """Write the rows of the newest version whose label is suspected, with the label that they look like.

    Correct `label` where it is wrong, take out the rows that you did not look at, and land the file: `headgate ingest FILE`. The rows are
    dated now, so that your label counts, also where you left it as it was. The file holds texts: keep it where the data may be.

    \b
    headgate data suspects suspects.jsonl
    headgate data suspects suspects.jsonl --model replies --most 50
    """
    from headgate.data.near_duplicates import near_groups
    from headgate.data.table import DatasetTable
    from headgate.lake import open_lake
    from headgate.model.label_errors import suspected_labels

    settings = load_settings()
    if model is None and len(settings.models) != 1:
        known = ", ".join(sorted(settings.models)) or "none"
        raise BadInput(f"expected --model, since headgate.toml has {len(settings.models)}: {known}; give one of them")
    if out.exists():
        raise Conflict(f"{out}: expected no such file, found one; give another name, or remove it if its labels are landed")
    frame = DatasetTable(open_lake(settings.lake), settings.model(model or next(iter(settings.models))).dataset).load()
    groups = near_groups(frame["text"].tolist(), frame["group_id"].tolist())
    found = suspected_labels(frame["id"].tolist(), frame["text"].tolist(), frame["label"].tolist(), groups, most=len(frame))
    rows = {row["id"]: row for row in frame.to_dict("records")}
    lines = [_line(suspect, rows[suspect.id]) for suspect in found.suspects[:most]]
    out.write_text("".join(lines), encoding="utf-8")
    typer.echo(f"{len(found.suspects)} of {len(found.ids)} rows have a suspected label; {len(lines)} written to {out}")


def _line(suspect: "Suspect", row: dict[Hashable, Any]) -> str:
    """One row as the ingest reads it; what it does not know is for the eye."""
    kept = {"id": suspect.id, "text": row["text"], "label": suspect.label, "suggested_label": suspect.suggested_label}
    kept |= {"margin": suspect.margin, "group_id": row["group_id"], "annotated_at": datetime.now(UTC).isoformat(timespec="seconds")}
    headers = {"headers": row["headers"]} if isinstance(row["headers"], dict) else {}
    return json.dumps(kept | headers, ensure_ascii=False) + "\n"
