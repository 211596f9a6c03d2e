"""Landing files become a data version."""

from prefect import flow

from tasks.ingesting import announce_version, ingest_landing_files, report_ingest


@flow(name="ingest_annotations", flow_run_name="ingest {model}")
def ingest_annotations(model: str) -> str | None:
    """Merge newly annotated rows into the model's data set; bad rows go to quarantine, nothing is lost.

    Args:
        model: table of headgate.toml whose data set has new files in its landing folder
    """
    result = ingest_landing_files(model)
    report_ingest(result)
    if result.version is None or result.version == result.previous:
        return None
    announce_version(result)
    return result.version.digest
