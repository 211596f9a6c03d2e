"""What a bucket tells a queue becomes an event."""

from prefect import flow

from tasks.bridging import listen_to_queue, report_queue


@flow(name="bridge_landing", flow_run_name="bridge landing")
def bridge_landing(listen_s: int = 45) -> dict[str, int]:
    """Announce the files whose S3 notifications wait in the SQS queue of `arrivals.queue_url`; returns how many, by data set.

    Args:
        listen_s: seconds after which the run ends, so that the next minute's run can begin; it ends earlier where the queue is empty
    """
    report = listen_to_queue(listen_s)
    report_queue(report)
    return report.announced
