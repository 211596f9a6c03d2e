"""What one request of a load test leaves behind in a file: a record of fixed size, so that hours of them need no memory as they come."""

import numpy as np

from headgate.evaluation.load_report import Role
from headgate.record import Record

SAMPLE = np.dtype([("lane", "u1"), ("offset_s", "f8"), ("delay_ms", "f4"), ("latency_ms", "f4"), ("fault", "u1")])
MOST_FAULTS = 250  # `fault` is 0 where there is none, else a place in the list of faults, from 1


class Lane(Record):
    """Requests to one model with its cache on or off; `cohort` is the name that the endpoint's router knows it by."""

    role: Role
    cohort: str | None
    cache: bool
