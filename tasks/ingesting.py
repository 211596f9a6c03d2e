"""Landing files -> data version, and the event that says so."""

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from headgate.data.ingest import IngestResult, ingest
from headgate.data.sharing import datasets_meant, ingest_rules
from headgate.settings import load_settings
from tasks.announcing import emit_confirmed
from tasks.once import once_per_run
from tasks.places import the_lake


def datasets_to_ingest(model: str | None, dataset: str | None) -> list[str]:
    """The data sets that a model, an event or a schedule means."""
    return datasets_meant(load_settings().models, model, dataset)


@once_per_run("ingest landing files")
def ingest_landing_files(dataset: str) -> IngestResult:
    """Merge the pending files of a data set's landing folder, by the rules of all models that read it."""
    rules = ingest_rules(load_settings().models, dataset)
    return ingest(the_lake(), rules.dataset, rules.labels, rules.policy)


@once_per_run("report ingest")
def report_ingest(result: IngestResult) -> None:
    """Say in the log what came in, and in an artifact too unless nothing did."""
    logger = get_run_logger()
    version = f"data version {result.version.version} ({result.version.rows} rows)" if result.version else "no data version yet"
    if not result.files:
        logger.info("%s: nothing new in the landing area, %s stays", result.dataset, version)
        return
    counts = f"{result.added} added, {result.corrected} corrected, {result.unchanged} unchanged, {result.quarantined} quarantined"
    logger.info("%s: %s file(s), %s -> %s", result.dataset, result.files, counts, version)
    for notice in result.notices:
        logger.warning("%s", notice)
    create_markdown_artifact(
        key=f"ingest-{result.dataset}",
        description=f"What came into {result.dataset}",
        markdown="\n".join([f"**{version}**", "", counts, "", *(f"* {notice}" for notice in result.notices)]),
    )


@once_per_run("announce data version")
def announce_version(result: IngestResult) -> None:
    """Emit `headgate.dataset.updated`, and try again until the server has it."""
    assert result.version is not None
    payload = {
        "dataset": result.dataset,
        "version": result.version.version,
        "previous": result.previous.version if result.previous else None,
        "digest": result.version.digest,
        "added": result.added,
        "corrected": result.corrected,
        "removed": result.removed,
    }
    emit_confirmed("headgate.dataset.updated", f"headgate.dataset.{result.dataset}", payload)
