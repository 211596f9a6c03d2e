"""A text that users corrected without agreement, given out as JSON Lines, labelled and landed: the annotator's label counts."""

import json
from datetime import timedelta
from pathlib import Path

from made_up_predictions import MODEL, NOW, corrected, predicted

from headgate.data.ingest import ingest
from headgate.data.landing import land
from headgate.data.queue import Queue
from headgate.data.queue_export import exported
from headgate.data.table import DatasetTable
from headgate.lake import Lake
from headgate.monitoring.feedback import collect
from headgate.monitoring.queueing import fill
from headgate.settings import ModelSettings

SETTINGS = ModelSettings(dataset="replies", labels=("positive", "objection", "other"))


def test_a_label_filled_in_counts_over_the_dated_corrections_and_closes_the_text(folder_lake: Lake, tmp_path: Path) -> None:
    names = predicted(folder_lake, "same", "same")
    corrected(folder_lake, (names[0], "positive", "ada"), (names[1], "objection", "bo"))
    collect(folder_lake, MODEL, SETTINGS, NOW)
    ingest(folder_lake, "replies", SETTINGS.labels)
    fill(folder_lake, MODEL, SETTINGS, NOW)
    queue, later = Queue(folder_lake, MODEL), NOW + timedelta(hours=1)
    (text,) = queue.rows("open")
    assert text.reasons == ("corrections_disagree",)
    line = json.loads(exported([text], "jsonl", MODEL, later))
    assert line["annotated_at"] == later.isoformat()
    queue.export([text], later)

    (tmp_path / "batch.jsonl").write_text(json.dumps(line | {"label": "other"}) + "\n")
    land(folder_lake, "replies", tmp_path / "batch.jsonl")
    result = ingest(folder_lake, "replies", SETTINGS.labels)

    assert (result.corrected, result.unchanged) == (1, 0)
    (row,) = DatasetTable(folder_lake, "replies").load().to_dict("records")
    assert (row["id"], row["label"], row["source"]) == (text.id, "other", "annotation")
    assert fill(folder_lake, MODEL, SETTINGS, later).annotated == 1
    assert [one.state for one in queue.rows()] == ["annotated"]
