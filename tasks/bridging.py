"""The SQS queue that a bucket notifies -> `headgate.landing.arrived`. A message is deleted only after what it says was announced."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from pydantic import Field

from headgate.data.notifications import by_dataset, read_notification
from headgate.errors import BadInput, BadSettings
from headgate.record import Record
from headgate.settings import load_settings
from tasks.announcing import announce_arrival
from tasks.notification_queue import LONG_POLL_S, Message, NotificationQueue
from tasks.once import once_per_run
from tasks.places import the_lake

SHOWN = 10
Announce = Callable[[str, Sequence[str]], None]


class LeftMessage(Record):
    """A message that stays in the queue, for another try and then for its dead-letter queue."""

    id: str
    receives: int
    reason: str

    def __str__(self) -> str:
        return f"message {self.id}, delivery {self.receives}: {self.reason}"


class Sorted(Record):
    """A batch of messages: what arrived by data set, what is done with once that is announced, what stays, and what concerned nobody."""

    arrived: dict[str, tuple[str, ...]]
    done: tuple[Message, ...] = ()
    left: tuple[LeftMessage, ...] = ()
    ignored: int = 0


class QueueReport(Record):
    """What one run of the bridge found; `dead` is the depth of the dead-letter queue, None where there is none."""

    queue: str
    messages: int = 0
    announced: dict[str, int] = Field(default_factory=dict)
    ignored: int = 0
    left: tuple[LeftMessage, ...] = ()
    undeleted: int = 0
    dead: int | None = None


def sort_messages(messages: Sequence[Message], lake_uri: str, datasets: Collection[str]) -> Sorted:
    """What to announce, to delete and to leave: a message that cannot be read, or names a data set of no model, is left."""
    arrived: dict[str, list[str]] = {}
    done, left, ignored = [], [], 0
    for message in messages:
        try:
            said = read_notification(message.body)
            found, _ = by_dataset(said.objects, lake_uri)
            _require_known(found, datasets)
        except BadInput as fault:
            left.append(LeftMessage(id=message.id, receives=message.receives, reason=str(fault)))
            continue
        done.append(message)
        ignored += not found
        for dataset, uris in found.items():
            arrived.setdefault(dataset, []).extend(uris)
    told = {dataset: tuple(dict.fromkeys(uris)) for dataset, uris in sorted(arrived.items())}
    return Sorted(arrived=told, done=tuple(done), left=tuple(left), ignored=ignored)


def listen(
    queue: NotificationQueue,
    sort: Callable[[Sequence[Message]], Sorted],
    announce: Announce,
    listen_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> QueueReport:
    """Take messages until the queue stays empty for a long poll or the time is over; what could not be announced stays in the queue."""
    end = clock() + listen_s
    taken, undeleted, ignored = 0, 0, 0
    announced: dict[str, set[str]] = {}
    left: dict[str, LeftMessage] = {}
    while (rest := end - clock()) > 0 and (messages := queue.receive(min(LONG_POLL_S, int(rest)))):
        batch = sort(messages)
        for dataset, uris in batch.arrived.items():
            announce(dataset, uris)
            announced.setdefault(dataset, set()).update(uris)
        undeleted += queue.delete(batch.done)
        taken, ignored = taken + len(batch.done), ignored + batch.ignored
        left |= {one.id: one for one in batch.left}
    return QueueReport(
        queue=queue.url,
        messages=taken,
        announced={dataset: len(uris) for dataset, uris in sorted(announced.items())},
        ignored=ignored,
        left=tuple(left.values()),
        undeleted=undeleted,
        dead=queue.dead_letters(),
    )


@once_per_run("listen to the queue")
def listen_to_queue(listen_s: int) -> QueueReport:
    """Announce what the bucket's notifications say, for at most so many seconds."""
    settings, lake = load_settings(), the_lake()
    if not settings.arrivals.queue_url:
        raise BadSettings("expected arrivals.queue_url in headgate.toml, found none; docs/arrivals.md says how a bucket notifies a queue")
    if not lake.uri.startswith("s3://"):
        raise BadSettings(f"arrivals.queue_url: expected a lake on S3, found {lake.uri}; a folder is watched without a queue")
    datasets = {model.dataset for model in settings.models.values()}
    queue = NotificationQueue(settings.arrivals.queue_url)
    return listen(queue, lambda messages: sort_messages(messages, lake.uri, datasets), announce_arrival, listen_s)


@once_per_run("report the queue")
def report_queue(report: QueueReport) -> None:
    """Say what came; a run that found nothing leaves one line in the log, and no artifact."""
    logger = get_run_logger()
    for line in report_lines(report):
        logger.info("%s", line)
    for warning in (warnings := queue_warnings(report)):
        logger.warning("%s", warning)
    if report.messages or warnings:
        lines = [*report_lines(report), "", *(f"* {warning}" for warning in warnings)]
        create_markdown_artifact(key="landing-queue", description="What the bucket's notifications said", markdown="\n".join(lines))


def report_lines(report: QueueReport) -> list[str]:
    """What the messages brought."""
    if not report.messages:
        return [f"no notification in {report.queue}"]
    told = ", ".join(f"{count} file(s) of {dataset}" for dataset, count in report.announced.items()) or "nothing"
    return [f"{report.messages} notification(s): announced {told}; {report.ignored} concerned no landing file"]


def queue_warnings(report: QueueReport) -> list[str]:
    """What a person should look at."""
    found = [f"left in the queue: {one}" for one in report.left[:SHOWN]]
    if more := len(report.left) - SHOWN:
        found += [f"{more} more message(s) are left in the queue"] if more > 0 else []
    if report.left and report.dead is None:
        found.append("the queue has no dead-letter queue that can be seen: what cannot be read comes again until it expires")
    if report.dead:
        found.append(f"about {report.dead} message(s) lie in the dead-letter queue: read them, repair the cause, and redrive or purge them")
    if report.undeleted:
        found.append(f"{report.undeleted} message(s) were announced but could not be deleted; they will be announced again")
    return found


def _require_known(found: Mapping[str, Any], datasets: Collection[str]) -> None:
    if unknown := sorted(set(found) - set(datasets)):
        known = ", ".join(sorted(datasets)) or "none"
        raise BadInput(f"landing/{unknown[0]}/: expected a data set that a model of headgate.toml reads ({known}), found none that does")
