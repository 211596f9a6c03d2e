"""The ledger of trainings: what was set off, when it began, and how it ended. One folder a model, written put-if-absent.

Trainings are numbered, and a number is given once: of two processes that decide at the same moment one gets it, and the other looks again.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from headgate.lake import Lake
from headgate.record import Record
from headgate.release.candidate import Outcome, latest_outcome
from headgate.release.record import Starter, load_release, release_ids

DAY = timedelta(hours=24)
MOST_STARTS = 5  # so often a run whose process dies is started
RECOVERY = timedelta(minutes=10)  # a crashed run that nothing started again for so long is dead


class Training(Record):
    """A training that was set off."""

    model: str
    number: int
    candidate: str = Field(description="key of the candidate that was the newest then")
    data_version: int
    started_by: Starter
    reason: str
    at: datetime
    set_off_by: str = Field(description="the flow run that decided")
    run_key: str = Field(description="idempotency key of its flow run, or run-<id> of one that has none")


class Beginning(Record):
    """That its flow run set to work, and on what: the newest data version by then."""

    run: str
    candidate: str
    data_version: int
    at: datetime


class End(Record):
    """How a training ended that left no outcome of a candidate."""

    how: Literal["failed", "cancelled", "crashed", "lost", "nothing_new"]
    why: str
    at: datetime


class RunState(Record):
    """What the orchestrator knows about a training's flow run; `at` is when it came into this state."""

    id: str
    kind: Literal["open", "completed", "failed", "cancelled", "crashed"]
    at: datetime
    starts: int
    why: str = ""


class PastTraining(Record):
    """One training with all that is known about it. An outcome is the truth, whatever the flow run did afterwards."""

    training: Training
    beginning: Beginning | None = None
    outcome: Outcome | None = None
    end: End | None = None

    @property
    def open(self) -> bool:
        """Whether it is under way, or not started yet."""
        return self.outcome is None and self.end is None

    @property
    def tested(self) -> bool:
        """Whether a candidate came of it that went through its tests, whatever they said."""
        return self.outcome is not None and self.outcome.release is not None

    @property
    def failed(self) -> bool:
        """Whether it ended without a tested candidate."""
        return not self.open and not self.tested and self.counts

    @property
    def counts(self) -> bool:
        """Whether it was a training at all: a run that found nothing left to do was none."""
        return self.end is None or self.end.how != "nothing_new" or self.outcome is not None

    @property
    def candidate(self) -> str:
        """Key of the candidate that it worked on."""
        return self.beginning.candidate if self.beginning else self.training.candidate

    @property
    def data_version(self) -> int:
        """The version that it worked on."""
        return self.beginning.data_version if self.beginning else self.training.data_version

    @property
    def told(self) -> str:
        """How it ended, in a few words."""
        if self.tested:
            assert self.outcome is not None
            return f"tested as release {str(self.outcome.release)[:12]}"
        if self.outcome is not None:
            return f"was stopped: {self.outcome.stopped}"
        if self.end is None:
            return "is running" if self.beginning else "waits to start"
        verb = {
            "failed": "failed",
            "cancelled": "was cancelled",
            "crashed": "crashed",
            "lost": "was lost",
            "nothing_new": "had nothing to do",
        }
        return f"{verb[self.end.how]}: {self.end.why}"


def _folder(model: str) -> str:
    return f"ledger/{model}/trainings"


def _key(model: str, number: int, part: str) -> str:
    return f"{_folder(model)}/{number:06d}/{part}.json"


def claim(lake: Lake, training: Training) -> bool:
    """Give the training its number; False if somebody else was faster."""
    return lake.put_if_absent(_key(training.model, training.number, "set-off"), training.to_bytes())


def load_training(lake: Lake, model: str, number: int) -> Training:
    """The training of that number; NotFound if it was never given."""
    return Training.model_validate_json(lake.read(_key(model, number, "set-off")))


def note_beginning(lake: Lake, training: Training, beginning: Beginning) -> None:
    """Remember that the training's flow run set to work; the first time is kept."""
    lake.put_if_absent(_key(training.model, training.number, "began"), beginning.to_bytes())


def note_end(lake: Lake, training: Training, end: End) -> None:
    """Remember how it ended; what was written first is kept."""
    lake.put_if_absent(_key(training.model, training.number, "ended"), end.to_bytes())


def next_number(lake: Lake, model: str) -> int:
    """The first number that was not given yet."""
    return max(_numbers(lake, model), default=-1) + 1


def _numbers(lake: Lake, model: str) -> list[int]:
    return sorted({int(key.split("/")[3]) for key in lake.keys(_folder(model))})


def past_trainings(lake: Lake, model: str, now: datetime) -> tuple[PastTraining, ...]:
    """The newest trainings, oldest first: those of a day, and further back to the last one that tested a candidate."""
    return tuple(reversed(list(_backwards(lake, model, now))))


def _backwards(lake: Lake, model: str, now: datetime) -> Iterator[PastTraining]:
    tested = False
    for number in reversed(_numbers(lake, model)):
        past = _read(lake, model, number)
        if tested and past.training.at <= now - DAY:
            return
        tested = tested or past.tested
        yield past


def _read(lake: Lake, model: str, number: int) -> PastTraining:
    training = load_training(lake, model, number)
    began, ended = lake.get(_key(model, number, "began")), lake.get(_key(model, number, "ended"))
    beginning = Beginning.model_validate_json(began.data) if began else None
    return PastTraining(
        training=training,
        beginning=beginning,
        outcome=latest_outcome(lake, model, beginning.candidate if beginning else training.candidate),
        end=End.model_validate_json(ended.data) if ended else None,
    )


def tested_version(lake: Lake, model: str, past: tuple[PastTraining, ...]) -> int | None:
    """The newest data version that a tested candidate was made from, or None before the first one.

    What was rejected, by the gates or by a person, is not trained again on the same rows. A lake whose releases are older
    than its ledger is read release by release.
    """
    if known := [one.data_version for one in past if one.tested]:
        return max(known)
    releases = (load_release(lake, name) for name in release_ids(lake))
    return max((found.data_version.version for found in releases if found.model == model), default=None)


def end_of(past: PastTraining, run: RunState | None, now: datetime) -> End | None:
    """How an open training ended, from its flow run (None: the orchestrator has none); None while it may still go on."""
    if run is None:
        return End(how="lost", why="its flow run is not known any more", at=now) if past.beginning else None
    if waits_for_start(past, run):
        return None
    if run.kind == "crashed":
        dead = run.starts >= MOST_STARTS or now - run.at > RECOVERY
        return End(how="crashed", why=f"its process died, start {run.starts} of {MOST_STARTS}", at=run.at) if dead else None
    if run.kind == "completed":
        return End(how="nothing_new", why="its candidate was known already", at=run.at)
    if run.kind == "open":
        return None
    return End(how=run.kind, why=run.why or "see its flow run", at=run.at)


def waits_for_start(past: PastTraining, run: RunState | None) -> bool:
    """Whether an open training was set off by a process that died before it started the flow run, or started a failed one again."""
    if run is None:
        return past.beginning is None
    return run.kind in ("failed", "cancelled", "crashed") and run.at < past.training.at
