"""Landing files -> data version, and the event that says so."""

from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.logging import get_run_logger

from headgate.data.ingest import IngestResult, ingest
from headgate.settings import load_settings
from tasks.once import once_per_run
from tasks.places import the_lake


@once_per_run("ingest landing files")
def ingest_landing_files(model: str) -> IngestResult:
    """Merge the pending files of the model's landing folder."""
    settings = load_settings().model(model)
    return ingest(the_lake(), settings.dataset, settings.labels, settings.conflicts.policy)


@once_per_run("report ingest")
def report_ingest(result: IngestResult) -> None:
    """Say in the log and in an artifact what came in, and what went to quarantine."""
    logger = get_run_logger()
    version = f"data version {result.version.version} ({result.version.rows} rows)" if result.version else "no data version yet"
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
    """Emit `headgate.dataset.updated`."""
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
    emit_event("headgate.dataset.updated", resource={"prefect.resource.id": f"headgate.dataset.{result.dataset}"}, payload=payload)
