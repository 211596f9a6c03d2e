"""The bucket in the host's name: a second radosgw on the same store that knows a domain, reached over the link as a proxy."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_link import LinkProcess
from made_up_history import row

from headgate.data.table import DatasetTable
from headgate.lake import Lake, open_lake
from headgate.settings import S3

DOMAIN = "s3.test"


@pytest.fixture
def gateway_port(s3_server: str, tmp_path: Path) -> Iterator[int]:
    """Port of a radosgw that serves BUCKET.s3.test."""
    conf = Path(os.environ.get("S3_STATE", Path.home() / ".cache" / "headgate-s3")) / "ceph.conf"
    if os.environ.get("HEADGATE_S3_TEST_BUCKET") or not conf.is_file():
        pytest.skip(f"expected the shared tools' radosgw, whose store a second one can serve, found no {conf} of it, or an S3 of one's own")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    text = re.sub(r"endpoint=127.0.0.1:\d+ tcp_nodelay=1", rf"\g<0>\nrgw dns name = {DOMAIN}", conf.read_text())
    text = re.sub(r"endpoint=127.0.0.1:\d+", f"endpoint=127.0.0.1:{port}", text)
    text = re.sub(r"(?m)^(log file|admin socket|pid file|run dir) = .*", rf"\1 = {tmp_path}/$name.\1", text)
    (tmp_path / "ceph.conf").write_text(text)
    command = ["radosgw", "-c", str(tmp_path / "ceph.conf"), "-n", "client.rgw", "-f"]
    with subprocess.Popen(command, cwd=conf.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _await_port(process, port)
        yield port
        process.kill()


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"radosgw did not listen on {port}; status {process.poll()}")


def test_records_and_tables_live_under_the_buckets_own_host_name(
    gateway_port: int, s3_uri: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = LinkProcess("127.0.0.1", gateway_port)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    there = open_lake(s3_uri, S3(endpoint_url=f"http://{DOMAIN}:{gateway_port}", addressing_style="virtual", patience_s=5))
    assert there.put_if_absent("a/1.json", b"x")
    assert not there.put_if_absent("a/1.json", b"y")
    assert there.keys("a") == ["a/1.json"]
    table = DatasetTable(there, "replies")
    table.merge([row("a")])
    table.merge([row("a", "y", day=1)])
    prefix = s3_uri.removeprefix("s3://").partition("/")[2]
    asked = [line.split()[1] for line in proxy.seen()]
    proxy.end()
    assert all(path.startswith((f"/{prefix}/", "/?")) for path in asked), asked
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name)
    assert lake.read("a/1.json") == b"x"
    assert DatasetTable(lake, "replies").load()["label"].tolist() == ["y"]
