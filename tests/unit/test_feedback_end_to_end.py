"""From an answer of a real server to a row: the log, the correction, the shipper, the collection and the ingest."""

from datetime import UTC, datetime
from pathlib import Path

from served import FakeRuntime, served

from headgate.data.ingest import ingest
from headgate.data.table import DatasetTable
from headgate.lake import Lake
from headgate.monitoring.feedback import collect
from headgate.monitoring.shipping import ship_once
from headgate.settings import ModelSettings

SETTINGS = ModelSettings(dataset="replies")


def test_a_correction_at_an_endpoint_becomes_a_row_of_the_data_set(folder_lake: Lake, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    with served(FakeRuntime(), log_dir=logs, model="replies", release="r1", log_text="full") as client:
        asked = {"instances": [{"text": "Call me\r\non Thursday"}, {"text": "Call me\r\non Thursday"}, {"text": "No"}]}
        names = [one["prediction_id"] for one in client.post("/invocations", json=asked).json()["predictions"]]
        label = client.post("/invocations", json={"text": "No"}).json()["predictions"][0]["label"]
        for name in (names[1], names[2]):
            assert client.post("/feedback", json={"prediction_id": name, "label": label, "annotator": "ada"}).status_code == 202
    ship_once(folder_lake, logs, keep_days=7)
    found = collect(folder_lake, "replies", SETTINGS, datetime.now(UTC))
    assert found.landed == {label: 2}
    ingest(folder_lake, "replies")
    rows = DatasetTable(folder_lake, "replies").load().to_dict("records")
    assert {(row["text"], row["label"], row["source"], row["annotator"]) for row in rows} == {
        ("Call me\non Thursday", label, "correction", "ada"),
        ("No", label, "correction", "ada"),
    }
