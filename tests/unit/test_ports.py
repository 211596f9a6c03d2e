"""Ports stay the same, avoid one another, and give way to strangers with a note."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deployments.ports import Assigned, Ports, is_free
from headgate.errors import Unavailable


@contextmanager
def listener(port: int = 0) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with listener() as port:
        return port


def test_a_name_keeps_its_port(tmp_path: Path, free_port: int) -> None:
    first = Ports(tmp_path).get("mlflow", free_port)
    assert Ports(tmp_path).get("mlflow", free_port) == first == Assigned(port=free_port, note=None)
    assert Ports(tmp_path).known() == {"mlflow": free_port}


def test_names_that_prefer_the_same_port_get_different_ones_without_a_note(tmp_path: Path, free_port: int) -> None:
    staging, production = (Ports(tmp_path).get(name, free_port) for name in ("staging", "production"))
    assert staging.port != production.port
    assert production.note is None


def test_a_taken_port_is_replaced_and_the_note_says_by_whom_it_is_taken(tmp_path: Path) -> None:
    with listener() as taken:
        found = Ports(tmp_path).get("mlflow", taken)
    assert found.port > taken
    name = psutil.Process().name()
    assert found.note == f"port {taken} is taken by {name} (pid {os.getpid()}); mlflow uses {found.port}"


def test_a_port_that_was_taken_meanwhile_is_replaced_for_good(tmp_path: Path, free_port: int) -> None:
    Ports(tmp_path).get("mlflow", free_port)
    with listener(free_port):
        moved = Ports(tmp_path).get("mlflow", free_port)
    assert moved.port != free_port
    assert Ports(tmp_path).get("mlflow", free_port) == Assigned(port=moved.port)


def test_a_new_preference_replaces_the_old_port(tmp_path: Path, free_port: int) -> None:
    Ports(tmp_path).get("mlflow", free_port)
    with listener() as other:
        pass
    assert Ports(tmp_path).get("mlflow", other).port == other


def test_a_released_port_is_free_for_another_name(tmp_path: Path, free_port: int) -> None:
    ports = Ports(tmp_path)
    ports.get("old", free_port)
    ports.release("old")
    ports.release("old")
    assert ports.get("new", free_port).port == free_port


def test_a_machine_without_free_ports_gets_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.ports.is_free", lambda _: False)
    with pytest.raises(Unavailable, match=r"^expected a free port from 4200 on, found none in 1000; set another one in headgate.toml$"):
        Ports(tmp_path).get("prefect", 4200)


def test_is_free_sees_a_server_on_all_addresses() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not is_free(server.getsockname()[1])
