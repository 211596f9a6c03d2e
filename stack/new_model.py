"""`headgate new`: from a table of texts and labels to a model in headgate.toml."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from headgate.data.rows import Annotation, normalised, parse_row
from headgate.errors import BadInput
from headgate.settings import Name, load_settings, settings_file

TABLE = """
[models.{name}]
dataset = "{name}"
annotations = ["{folder}/annotations.jsonl"]
regression_rows = "{folder}/regression.jsonl"

[models.{name}.gates]   # modest bounds to start with; raise them to what you need
min_accuracy = 0.50
min_macro_f1 = 0.40
min_coverage = 0.50

[models.{name}.rollout.shadow]
sampling_percentage = 100
min_requests = 100   # short, as the canary below (docs/shadow.md)
max_duration_s = 180

[[models.{name}.rollout.stages]]
environment = "production"
traffic_routing = {{ type = "CANARY", canary_size_percent = 20 }}
bake_time_s = 20   # short, for a first try: such a canary shows gross harm only (docs/rollout.md)
auto_rollback = {{ min_requests = 20, max_duration_s = 90 }}
probe_rate_per_s = 10   # for an endpoint without traffic of its own
"""


def add_model(name: str, file: Path, text: str, label: str, regression_share: float) -> list[str]:
    """Split the rows once by group, write both parts and the model's table; says what was left out and what to do next."""
    _check_name(name)
    if name in load_settings().models:
        raise BadInput(f"[models.{name}] is already in {settings_file()}; choose another name")
    rows, left_out = _distinct(_rows(file, text, label))
    regression = [row for row in rows if _frozen(row.group_id, regression_share)]
    annotations = [row for row in rows if not _frozen(row.group_id, regression_share)]
    if not regression or not annotations:
        raise BadInput(f"{file}: expected enough rows for a training and a regression set, found {len(rows)}")
    folder = Path("datasets") / name
    _write(folder / "annotations.jsonl", annotations)
    _write(folder / "regression.jsonl", regression)
    with settings_file().open("a", encoding="utf-8") as settings:
        settings.write(TABLE.format(name=name, folder=folder.as_posix()))
    return [
        *left_out,
        f"{len(annotations)} rows to train on, {len(regression)} frozen as the regression set, in {folder}/",
        f"added [models.{name}] to {settings_file()}",
        f"next: headgate run --model {name}",
    ]


def _check_name(name: str) -> None:
    """BadInput before anything is written, since a bad table would make the whole file unreadable."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise BadInput(f"expected a name of lower-case letters, digits and dashes such as tickets-2, found {name!r}") from None


def _rows(file: Path, text: str, label: str) -> Iterator[Annotation | str]:
    """Each row, or why it cannot be used; BadInput if a column is missing or the file cannot be read."""
    frame = _read(file)
    if missing := [column for column in (text, label) if column not in frame.columns]:
        found = ", ".join(map(str, frame.columns))
        raise BadInput(f"{file}: expected the columns {', '.join(missing)}, found {found}; name yours with --text and --label")
    frame = frame.rename(columns={text: "text", label: "label"})
    for number, raw in enumerate(frame.to_dict("records"), 1):
        try:
            yield _grouped(raw)
        except BadInput as fault:
            yield f"left out: {file.name}, row {number}: {fault}"


def _read(file: Path) -> pd.DataFrame:
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".parquet": pd.read_parquet,
    }
    if file.suffix.lower() not in readers:
        raise BadInput(f"{file}: expected .csv, .tsv, .jsonl or .parquet")
    try:
        return readers[file.suffix.lower()](file)
    except (ValueError, OSError) as fault:
        raise BadInput(f"{file}: could not be read: {str(fault).splitlines()[0]}") from None


def _read_csv(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype=str, sep=None, engine="python", encoding="utf-8-sig", keep_default_na=False)


def _read_jsonl(file: Path) -> pd.DataFrame:
    return pd.read_json(file, lines=True, dtype=False, convert_dates=False)


def _grouped(raw: dict[Any, Any]) -> Annotation:
    """Without a group_id of its own, equal texts are one group, so that none is on both sides."""
    row = {str(key): value for key, value in raw.items()}
    if not row.get("group_id") and isinstance(row.get("text"), str):
        row["group_id"] = hashlib.sha256(normalised(row["text"]).encode("utf-8", "replace")).hexdigest()[:16]
    return parse_row(row)


def _distinct(found: Iterator[Annotation | str]) -> tuple[list[Annotation], list[str]]:
    """One row a text and an id, the first one counting, and why the others were left out."""
    kept: dict[str, Annotation] = {}
    ids: set[str] = set()
    left_out: list[str] = []
    repeated = 0
    for row in found:
        if isinstance(row, str):
            left_out.append(row)
        elif (text := normalised(row.text)) in kept:
            if kept[text].label == row.label:
                repeated += 1
            else:
                left_out.append(
                    f"left out: {row.id}: the text of {kept[text].id} again, labelled {row.label!r} instead of {kept[text].label!r}"
                )
        elif row.id in ids:
            left_out.append(f"left out: {row.id}: its id stands twice")
        else:
            kept[text] = row
            ids.add(row.id)
    if repeated:
        left_out.append(f"left out: {repeated} row(s) repeat the text and label of another row")
    return list(kept.values()), left_out


def _frozen(group_id: str, share: float) -> bool:
    """The same for every row of a group, and independent of the train/valid split."""
    return int(hashlib.sha256(f"regression:{group_id}".encode()).hexdigest()[:8], 16) / 2**32 < share


def _write(file: Path, rows: list[Annotation]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{row.model_dump_json()}\n" for row in rows), encoding="utf-8")
