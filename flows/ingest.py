"""Landing files become a data version."""

from prefect import flow

from headgate.errors import HeadgateError
from tasks.ingesting import announce_version, datasets_to_ingest, ingest_landing_files, report_ingest


@flow(name="ingest_annotations", flow_run_name="ingest annotations")
def ingest_annotations(model: str | None = None, dataset: str | None = None) -> dict[str, str]:
    """Merge newly annotated rows into a data set; bad rows go to quarantine, nothing is lost. Returns the digests of new versions.

    Args:
        model: table of headgate.toml whose data set has new files in its landing folder
        dataset: data set that has new files, as `headgate.landing.arrived` names it; all data sets if this and the model are empty
    """
    digests: dict[str, str] = {}
    faults: list[HeadgateError] = []
    for name in datasets_to_ingest(model, dataset):
        try:
            result = ingest_landing_files(name)
            report_ingest(result)
            if result.version is not None and result.version != result.previous:
                announce_version(result)
                digests[name] = result.version.digest
        except HeadgateError as fault:  # the other data sets are not kept waiting
            faults.append(fault)
    if faults:
        raise faults[0]
    return digests
