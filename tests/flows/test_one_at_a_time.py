"""An endpoint is taken by one run at a time, as Prefect's server counts it."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaits

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from tasks.one_at_a_time import alone_at

WAITED_S = 5  # for one that shall not get it


def held(endpoint: str) -> int:
    with get_client(sync_client=True) as api:
        return api.read_global_concurrency_limit_by_name(f"endpoint-{endpoint}").active_slots


def test_a_second_run_says_that_it_waits_until_the_first_is_done_and_another_endpoint_is_another_matter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @flow
    def second() -> str:
        with alone_at("replies-here"):
            return "it has it"

    with ThreadPoolExecutor() as pool:
        with alone_at("replies-here"):
            waiting = pool.submit(second)
            with alone_at("replies-there"):
                assert (held("replies-here"), held("replies-there")) == (1, 1)
            with pytest.raises(StillWaits):
                waiting.result(timeout=WAITED_S)
        assert waiting.result(timeout=120) == "it has it"
    assert "endpoint replies-here is held by another run, or was by one that was killed; waiting for it" in caplog.text
    assert (held("replies-here"), held("replies-there")) == (0, 0)
