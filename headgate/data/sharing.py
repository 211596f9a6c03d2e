"""Several models may read one data set; it is ingested once, by rules that suit them all."""

from collections.abc import Collection, Mapping

from headgate.data.conflicts import Policy
from headgate.errors import BadInput, BadSettings
from headgate.record import Record
from headgate.settings import ModelSettings, policy_fault


class IngestRules(Record):
    """How the landing files of a data set are judged; no labels: any."""

    dataset: str
    labels: tuple[str, ...]
    policy: Policy


def ingest_rules(models: Mapping[str, ModelSettings], dataset: str) -> IngestRules:
    """The rules of the models that read a data set: a label that one of them knows is known.

    BadInput if no model reads it; BadSettings if they want different policies for conflicts.
    """
    readers = {name: model for name, model in models.items() if model.dataset == dataset}
    if not readers:
        known = ", ".join(sorted({model.dataset for model in models.values()})) or "none"
        raise BadInput(
            f"data set {dataset!r}: expected one that a model of headgate.toml reads ({known}), found none that does; "
            f"add a model with dataset = {dataset!r}, or move the files to landing/<data set>/"
        )
    if fault := policy_fault(models, dataset):
        raise BadSettings(fault)
    return IngestRules(dataset=dataset, labels=_labels(readers.values()), policy=next(iter(readers.values())).conflicts.policy)


def _labels(readers: Collection[ModelSettings]) -> tuple[str, ...]:
    """Every label that a reader knows, in their order; none if one of them takes any label."""
    if any(not model.labels for model in readers):
        return ()
    return tuple(dict.fromkeys(label for model in readers for label in model.labels))


def datasets_meant(models: Mapping[str, ModelSettings], model: str | None, dataset: str | None) -> list[str]:
    """The data sets of a model, of an event, or of all models; BadInput where model and data set contradict each other."""
    if model is not None and model not in models:
        raise BadInput(f"model {model!r}: expected one of headgate.toml ({', '.join(sorted(models)) or 'none'}), found none of that name")
    if model is None:
        return [dataset] if dataset is not None else sorted({one.dataset for one in models.values()})
    if dataset not in (None, models[model].dataset):
        raise BadInput(f"model {model!r} reads the data set {models[model].dataset!r}, found {dataset!r}; name one of the two")
    return [models[model].dataset]
