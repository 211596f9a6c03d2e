"""The approval question on the terminal, while the Prefect UI may answer first."""

import select
import sys
from collections.abc import Callable
from typing import Literal
from uuid import UUID

from headgate.release.record import Release
from stack.orchestration import client
from stack.summary import summary_text

Say = Callable[[str], None]
Filled = tuple[str, str, str] | Literal["elsewhere"] | None
DECISIONS = {"y": "approve", "yes": "approve", "n": "reject", "no": "reject"}


def ask_person(release: Release, run_id: UUID, say: Say) -> Filled:
    """(decision, who, why) from the terminal; "elsewhere" if the form was answered first; None without a terminal or an answer."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    say(f"\n{summary_text(release)}\n")
    try:
        decision = _decision(run_id, say)
        if decision is None:
            return None
        who, why = "", ""
        while not who:
            who = _ask("who (such as you@example.com): ", run_id)
        while not why:
            why = _ask("why: ", run_id)
    except AnsweredElsewhereError:
        return "elsewhere"
    except EOFError:
        return None
    return decision, who, why


def _decision(run_id: UUID, say: Say) -> str | None:
    """Approve or reject; None for later. Anything else is asked again."""
    while line := _ask("Approve? [y = approve, n = reject, Enter = later] ", run_id).lower():
        if line in DECISIONS:
            return DECISIONS[line]
        say("expected y, n or Enter")
    return None


class AnsweredElsewhereError(Exception):
    """The run no longer waits."""


def _ask(question: str, run_id: UUID) -> str:
    """One line from the terminal; gives up as soon as the run is answered elsewhere."""
    sys.stdout.write(question)
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 1.0)[0]:
        if not _still_waits(run_id):
            sys.stdout.write("\n")
            raise AnsweredElsewhereError
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line.strip()


def _still_waits(run_id: UUID) -> bool:
    with client() as api:
        state = api.read_flow_run(run_id).state
    return state is not None and state.name == "Suspended"
