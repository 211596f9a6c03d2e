"""Shows a flow run on the terminal while it goes: its stages, and what they say."""

import time
from collections.abc import Callable
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import LogSort

from stack.orchestration import client

Say = Callable[[str], None]
PAUSE_S = 0.7
LAST_LINES_S = 1.2  # a run's last lines reach the server after its end
# Prefect's own words about runs and states; the stages' own lines stay.
_CHATTER = (
    "Created ",
    "Finished in state",
    "Beginning ",
    "Downloading ",
    "Task run ",
    "Worker ",
    "Executing ",
    "Opening process",
    "Process ",
    "View at",
    "Starting ",
    "Submitted ",
    "Completed submission",
    "Use `prefect",
    "Deferring",
    "Suspending",
    "> Running",
    "Flow run ",
    "Engine execution exited",
    "Encountered exception",
    "Concurrency limits",
)


class Follower:
    """Prints what is new about one run each time it looks."""

    def __init__(self, run_id: UUID, say: Say) -> None:
        self.run_id, self.say = run_id, say
        self._seen_lines = 0
        self._begun: set[UUID] = set()
        self._ended: set[UUID] = set()

    def look(self) -> FlowRun:
        """Print what happened since the last look, and return the run."""
        with client() as api:
            run = api.read_flow_run(self.run_id)
            tasks = api.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[self.run_id])))
            lines = api.read_logs(
                LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self.run_id])), offset=self._seen_lines, sort=LogSort.TIMESTAMP_ASC
            )
        self._seen_lines += len(lines)
        ordered = sorted((task for task in tasks if task.start_time), key=lambda task: task.start_time)  # type: ignore[arg-type, return-value]
        self._begin(ordered)
        for line in lines:
            if line.level >= 20 and not line.message.startswith(_CHATTER):
                self.say(f"    {_without_traceback(line.message)}")
        self._end(ordered)
        return run

    def until(self, *states: str) -> FlowRun:
        """Look until the run is in one of these states or at its end."""
        while True:
            run = self.look()
            name = run.state.name if run.state else ""
            if run.state and (run.state.is_final() or name in states):
                time.sleep(LAST_LINES_S)
                return self.look()
            time.sleep(PAUSE_S)

    def _begin(self, tasks: list[TaskRun]) -> None:
        for task in tasks:
            if task.id not in self._begun:
                self._begun.add(task.id)
                self.say(f"  {_title(task)} ...")

    def _end(self, tasks: list[TaskRun]) -> None:
        for task in tasks:
            if task.id in self._ended or not task.state or not task.state.is_final():
                continue
            self._ended.add(task.id)
            seconds = task.total_run_time.total_seconds()
            if not task.state.is_completed():
                self.say(f"  {_title(task)}: {task.state.name}")
            elif seconds >= 1:
                self.say(f"  {_title(task)}: done in {seconds:.0f} s")


def _title(task: TaskRun) -> str:
    """The task's own name, without the digits that Prefect appends."""
    return task.name.rpartition("-")[0] or task.name


def _without_traceback(message: str) -> str:
    """A failed stage's error in one line; the traceback is in the Prefect UI."""
    head, traced, trace = message.partition("\nTraceback (most recent call last):")
    return f"{head}: {trace.strip().splitlines()[-1]}" if traced else message
