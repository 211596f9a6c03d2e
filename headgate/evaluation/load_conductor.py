"""Conducts a load test inside Locust: says what each worker sends and when, and writes their samples to a file as they come.

The plan is a JSON file named by HEADGATE_LOAD_PLAN; `result`, a file it names, is written last. Only Locust's
process imports this, and pandas is not among what it has to load.
"""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from gevent.event import Event  # type: ignore[import-untyped]  # ships no types

from headgate.evaluation.load_report import LoadStep, Role
from headgate.evaluation.sample_file import MOST_FAULTS, SAMPLE
from headgate.evaluation.stairs import judged, next_rate
from headgate.settings import LoadTest

START_IN_S = 0.2
SPARE_S = 30.0

logger = logging.getLogger(__name__)


class Conductor:
    """The order of the parts, over Locust's own messages."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.faults: list[str] = []
        self.good = False
        self._taken: list[np.ndarray[Any, Any]] = []
        self._keep = False
        self._done: set[int] = set()
        self._all_done = Event()

    def conduct(self) -> None:
        """All parts of the plan and then the stairs; writes the result and ends the run, which has none after a fault."""
        try:
            self._conduct(json.loads(Path(os.environ["HEADGATE_LOAD_PLAN"]).read_text()))
        except Exception:
            logger.exception("the load test broke off")
        finally:
            self.runner.quit()

    def take(self, told: dict[str, Any]) -> None:
        """Write down samples; those of a step of the stairs are kept for its judgement instead."""
        rows = np.array([(*row[:4], self._fault(row[4])) for row in told["samples"]], dtype=SAMPLE)
        self.good = self.good or bool((rows["fault"] == 0).any())
        if self._keep:
            self._taken.append(rows)
        else:
            self._file.write(rows.tobytes())

    def note_done(self, told: dict[str, Any]) -> None:
        """A worker has had all its answers."""
        self._done.add(told["worker"])
        if len(self._done) == self._workers:
            self._all_done.set()

    def _conduct(self, plan: dict[str, Any]) -> None:
        self.plan, self.settings = plan, LoadTest.model_validate(plan["settings"])
        clients = [worker.id for worker in self.runner.clients.all] if hasattr(self.runner, "clients") else [None]
        self._clients, self._workers = clients, len(clients)
        self.runner.send_message("headgate_prepare", {key: plan[key] for key in ("url", "timeout_s", "connections", "texts", "lanes")})
        began = []
        with Path(plan["samples"]).open("wb") as self._file:
            for part in plan["parts"]:
                began.append(time.time() + START_IN_S)
                self._part(part)
        stairs = self._climb() if self.good else []
        result = {"faults": self.faults, "began": began, "stairs": [step.model_dump() for step in stairs], "workers": self._workers}
        Path(plan["result"]).write_text(json.dumps(result))

    def _part(self, part: dict[str, Any]) -> None:
        """Let all workers send their shares, and wait for the last answer."""
        self._done.clear()
        self._all_done.clear()
        for number, client in enumerate(self._clients):
            shares = {"worker": number, "workers": self._workers, "start_in_s": START_IN_S}
            self.runner.send_message("headgate_part", part | shares, client)
        if not self._all_done.wait(part["rounds"] / part["rate_per_s"] + self.plan["timeout_s"] + SPARE_S):
            missing = sorted(set(range(self._workers)) - self._done)
            raise RuntimeError(f"expected {self._workers} workers to finish, found none of {missing}: look at their logs")

    def _climb(self) -> list[LoadStep]:
        """Steps of both models in turn, the first of a pair changing, until each has found its knee."""
        steps: list[LoadStep] = []
        lanes = [(number, cast(Role, lane["role"])) for number, lane in enumerate(self.plan["lanes"]) if not lane["cache"]]
        going = True
        while going:
            going = False
            for number, role in lanes:
                if rate := next_rate([step for step in steps if step.role == role], self.settings):
                    steps.append(self._step(number, role, rate))
                    going = True
            lanes.reverse()
        return steps

    def _step(self, lane: int, role: Role, rate_per_s: float) -> LoadStep:
        rounds = max(1, round(rate_per_s * self.settings.stairs_step_s))
        self._keep, self._taken = True, []
        self._part({"lanes": [lane], "rate_per_s": rate_per_s, "rounds": rounds, "texts": len(self.plan["texts"])})
        found = np.concatenate(self._taken)
        offset, latency, delay = (found[name].astype(float) for name in ("offset_s", "latency_ms", "delay_ms"))
        return judged(role, rate_per_s, offset, latency, found["fault"] == 0, delay, self.settings)

    def _fault(self, fault: str | None) -> int:
        """The number of a fault, from 1; 0 is none, and the last one stands for all kinds beyond the others."""
        if fault is None:
            return 0
        if fault not in self.faults:
            if len(self.faults) >= MOST_FAULTS:
                return MOST_FAULTS
            self.faults.append(fault if len(self.faults) < MOST_FAULTS - 1 else "other")
            return len(self.faults)
        return self.faults.index(fault) + 1
