"""A cluster that goes away while it is asked what it has, as the client's discovery takes it."""

from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from deployments.cluster import Cluster
from headgate.errors import Unavailable


class Interrupted:
    """The client's discovery after a cut: it raises the same for ever."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def get(self, **_: Any) -> Any:
        raise self.fault


FAULTS = [KeyError("resources"), urllib3.exceptions.MaxRetryError(None, "/version", OSError("refused"))]  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_discovery_that_was_interrupted_is_begun_anew_by_the_next_call(fault: Exception) -> None:
    cluster = Cluster("sales")
    cluster.__dict__["_dynamic"] = SimpleNamespace(resources=Interrupted(fault))
    with pytest.raises(Unavailable):
        cluster.get("v1", "Service", "replies")
    route = SimpleNamespace(get=lambda **_: SimpleNamespace(to_dict=lambda: {"kind": "Service"}))
    assert "_dynamic" not in cluster.__dict__
    cluster.__dict__["_dynamic"] = SimpleNamespace(resources=SimpleNamespace(get=lambda **_: route))
    assert cluster.get("v1", "Service", "replies") == {"kind": "Service"}
