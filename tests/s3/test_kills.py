"""kill -9 of an ingest at the very request that is named, before or after the store did it; and the next ingest."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faulty_link import LinkProcess
from test_faults import assert_ingested, drop

from headgate.data.ingest import ingest
from headgate.data.table import DatasetTable
from headgate.lake import Lake

INGEST = """
import sys
from headgate.data.ingest import ingest
from headgate.lake import open_lake
ingest(open_lake(sys.argv[1]), "replies")
"""
COMMITS_OF = {"data set": r"PUT \S+/datasets/replies/_delta_log/\d{20}.json", "quarantine": r"PUT \S+/quarantine/\S+/\d{20}.json"}
REQUESTS = {"data file": r"PUT \S+/datasets/replies/part\S+", **COMMITS_OF, "record": r"PUT \S+/ingested/"}
# hold: the store never heard of the request; mute: it did what it was asked, and its answer never came.
KILLS = [(request, kind) for request in REQUESTS for kind in ("hold", "mute")]


def killed_at(link: LinkProcess, kind: str, line: str, uri: str) -> None:
    """An ingest that is killed when the named request has been sent."""
    link.fail(kind, line)
    environment = os.environ | {"HEADGATE_S3__ENDPOINT_URL": link.url, "HEADGATE_S3__REQUEST_TIMEOUT_S": "300"}
    process = subprocess.Popen([sys.executable, "-c", INGEST, uri], env=environment)
    struck = link.relayed if kind == "mute" else link.begun
    deadline = time.monotonic() + 60
    while not struck() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert struck() == 1
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    link.heal()


@pytest.mark.parametrize(("request_of", "kind"), KILLS)
def test_what_a_killed_ingest_left_the_next_one_completes(
    lake: Lake, link: LinkProcess, tmp_path: Path, request_of: str, kind: str
) -> None:
    drop(lake, tmp_path, 2)
    killed_at(link, kind, REQUESTS[request_of], lake.uri)
    done = ingest(lake, "replies")
    committed = request_of in ("quarantine", "record") or (request_of, kind) == ("data set", "mute")
    assert (done.added, done.unchanged) == ((0, 20) if committed else (20, 0)) or done.files < 2
    assert_ingested(lake, 2)
    assert [version.version for version in DatasetTable(lake, "replies").versions()] == [0]
    assert ingest(lake, "replies").files == 0
