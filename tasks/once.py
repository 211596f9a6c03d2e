"""The one decorator of all tasks: retries, caching and names live here, at the edge."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import INPUTS, RUN_ID, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from headgate.errors import Transient

P = ParamSpec("P")
R = TypeVar("R")


def _is_transient(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Only Transient errors are worth another try."""
    return isinstance(state.result(raise_on_failure=False), Transient)


def _task_key(context: TaskRunContext, _: dict[str, Any]) -> str:
    """RUN_ID + INPUTS alone would give two tasks with the same arguments one result."""
    return context.task.task_key


def once_per_run(title: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task that is done once a flow run: a run that starts again after a crash finds its result."""
    return task(
        name=title,
        cache_policy=CacheKeyFnPolicy(cache_key_fn=_task_key) + RUN_ID + INPUTS,
        persist_result=True,
        retries=3,
        retry_delay_seconds=[2, 10, 30],
        retry_condition_fn=_is_transient,
    )
