"""The rows that gates are calibrated on: a model's newest data version and its regression set, or the files that they come from."""

from headgate.data.frozen import load_frozen
from headgate.data.parsing import read_rows
from headgate.data.table import DatasetTable
from headgate.errors import BadInput
from headgate.evaluation.trained_seeds import SeedRows
from headgate.lake import Lake
from headgate.model.filters import current_reply
from headgate.settings import ModelSettings


def seed_rows(lake: Lake, name: str, settings: ModelSettings) -> SeedRows:
    """Texts as the classifier sees them, with their labels. Raises BadInput where neither the lake nor headgate.toml has any."""
    prepare = current_reply if settings.filters.current_reply else str
    (texts, labels), (frozen_texts, frozen_labels) = _training(lake, name, settings), _frozen(lake, name, settings)
    return SeedRows([prepare(text) for text in texts], labels, [prepare(text) for text in frozen_texts], frozen_labels)


def _training(lake: Lake, name: str, settings: ModelSettings) -> tuple[list[str], list[str]]:
    table = DatasetTable(lake, settings.dataset)
    if table.latest() is not None:
        frame = table.load()
        return frame["text"].tolist(), frame["label"].tolist()
    if not settings.annotations:
        raise BadInput(f"model {name}: expected a data version or [models.{name}] annotations, found neither; run `headgate ingest FILES`")
    rows = [row for file in settings.annotations for row in read_rows(file, settings.labels).rows]
    return [row.text for row in rows], [row.label for row in rows]


def _frozen(lake: Lake, name: str, settings: ModelSettings) -> tuple[list[str], list[str]]:
    if DatasetTable(lake, settings.regression_set).latest() is not None:
        frame = load_frozen(lake, settings.regression_set)
        return frame["text"].tolist(), frame["label"].tolist()
    if settings.regression_rows is None:
        raise BadInput(f"model {name}: expected a regression set or [models.{name}] regression_rows, found neither; name a file there")
    rows = read_rows(settings.regression_rows, settings.labels).rows
    return [row.text for row in rows], [row.label for row in rows]
