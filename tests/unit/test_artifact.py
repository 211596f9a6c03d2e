"""A hostile folder is refused with all that is wrong with it, before anything in it is understood."""

import hashlib
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import BadBundle
from headgate.model import artifact
from headgate.model.artifact import check_folder, read_json, told
from headgate.model.bundle import open_bundle

RECORD = "record.json"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/was-here",)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good folder: a.json and deep/b.json, listed, and record.json, which lists them."""
    made = tmp_path / "artifact"
    (made / "deep").mkdir(parents=True)
    for name in ("a.json", "deep/b.json", RECORD):
        (made / name).write_text("{}")
    return made


def listing(folder: Path, **others: str) -> dict[str, str]:
    return {name: sha256(folder / name) for name in ("a.json", "deep/b.json")} | others


def test_a_good_folder_has_no_fault(folder: Path) -> None:
    assert check_folder(folder, listing(folder), RECORD) == []


@pytest.mark.parametrize(
    ("damage", "faults"),
    [
        (lambda f: (f / "a.json").unlink(), ["a.json is missing"]),
        (lambda f: (f / "a.json").write_text("[]"), ["a.json is changed: its sha256 is not the listed one"]),
        (lambda f: (f / "c.json").write_text("{}"), ["c.json is extra: it is not in record.json"]),
        (lambda f: (f / "deep" / ".c").write_text(""), ["deep/.c is extra: it is not in record.json"]),
        (lambda f: (f / "line\nbreak").write_text(""), ["'line\\nbreak' is extra: it is not in record.json"]),
        (lambda f: (f / "none").mkdir(), ["none is an empty folder"]),
        (lambda f: (f / "deep" / "er" / "none").mkdir(parents=True), ["deep/er/none is an empty folder"]),
        (lambda f: (f / "link").symlink_to("a.json"), ["link is a link"]),
        (lambda f: (f / "link").symlink_to("/"), ["link is a link"]),
        (lambda f: (f / "loop").symlink_to("."), ["loop is a link"]),
        (lambda f: (f / "gone").symlink_to("nowhere"), ["gone is a link"]),
        (lambda f: ((f / "a.json").unlink(), (f / "a.json").symlink_to("deep/b.json")), ["a.json is a link"]),
        (lambda f: ((f / "deep").rename(f.parent / "d"), (f / "deep").symlink_to("../d")), ["deep is a link", "deep/b.json is missing"]),
        (lambda f: ((f / "a.json").unlink(), (f / "a.json").mkdir()), ["a.json is a folder, expected a file"]),
        (lambda f: ((f / "a.json").unlink(), os.mkfifo(f / "a.json")), ["a.json is no plain file"]),
        (lambda f: os.mkfifo(f / "pipe"), ["pipe is no plain file"]),
        (lambda f: os.truncate(f / "a.json", 33 << 20), ["a.json has 34,603,008 bytes, expected at most 33,554,432"]),
        (
            lambda f: (f / "weights").touch() or os.truncate(f / "weights", 17 << 30),
            ["the folder has 18,253,611,014 bytes, expected at most 17,179,869,184"],
        ),
        (lambda f: [(f / f"{number}").touch() for number in range(1_000)], ["the folder holds more than 1,000 files"]),
        (lambda f: (f / "/".join("abcdefghij")).mkdir(parents=True), ["the folder is nested deeper than 8 folders"]),
        (lambda f: (f / "/".join(["a" * 200] * 15)).mkdir(parents=True), ["the folder is nested deeper than 8 folders"]),
    ],
)
def test_what_lies_in_the_folder_is_what_is_listed(folder: Path, damage: Callable[[Path], object], faults: list[str]) -> None:
    listed = listing(folder)
    damage(folder)
    assert check_folder(folder, listed, RECORD) == faults


@pytest.mark.parametrize(
    "name",
    [
        "../a.json",
        "deep/../../a",
        "/etc/passwd",
        "//a",
        "./a.json",
        "a//b",
        "deep/",
        "",
        ".",
        "..",
        "deep\\b",
        "a\0b",
        "a\nb",
        "\ud800",
        RECORD,
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(folder: Path, name: str) -> None:
    assert check_folder(folder, listing(folder, **{name: "0"}), RECORD) == [f"{name!r} is no path inside the folder"]


def a_zip(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "/", 1).replace("_", "."), content)
    return made.getvalue()


def a_tar() -> bytes:
    made = io.BytesIO()
    tarfile.open(fileobj=made, mode="w:gz").close()
    return made.getvalue()


def torch_file(**options: Any) -> bytes:
    made = io.BytesIO()
    torch.save({"a": torch.ones(2)}, made, **options)
    return made.getvalue()


PICKLE, ARCHIVE = "is a pickle, which can run any code", "is an archive"


def named(value: str | bytes) -> str:
    """The name of a case without its bytes, which hold the time: every process must find the same cases."""
    return "content" if isinstance(value, bytes) else value


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        *((f"w.{suffix}", b"", PICKLE) for suffix in ("pkl", "PICKLE", "pt", "pth", "ckpt", "joblib", "dill", "npy", "npz")),
        *(("weights", pickle.dumps(Evil(), protocol), PICKLE) for protocol in range(6)),
        ("a.json.txt", pickle.dumps(Evil(), 0), PICKLE),
        ("pytorch_model.bin", torch_file(), PICKLE),
        ("pytorch_model.bin", torch_file(_use_new_zipfile_serialization=False), PICKLE),
        ("model.onnx", torch_file(), PICKLE),
        ("wheel.whl", torch_file(), PICKLE),
        *((f"w.{suffix}", b"", ARCHIVE) for suffix in ("zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "7z")),
        ("weights", a_zip(a_json=b"{}"), ARCHIVE),
        ("weights", a_tar(), ARCHIVE),
        ("weights", b"BZh91AY&SY", ARCHIVE),
        ("weights", b"\xfd7zXZ\0\0", ARCHIVE),
        ("weights", b"\x28\xb5\x2f\xfd\0", ARCHIVE),
    ],
    ids=named,
)
def test_pickles_and_archives_are_refused_even_where_they_are_listed(folder: Path, name: str, content: bytes, fault: str) -> None:
    (folder / name).write_bytes(content)
    assert check_folder(folder, listing(folder, **{name: sha256(folder / name)}), RECORD) == [f"{name} {fault}"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("requirements.txt", b"certifi==2024.1\nclick==8.1\ncolorama==0.4\n"),
        ("notes.md", b"cat\nmat\n."[:8]),
        ("empty", b""),
        ("headgate.whl", a_zip(headgate_py=b"")),
        ("tiny.safetensors", struct.pack("<Q", 0x0280) + b"{}".ljust(0x0280)),
        ("numbers", b"\x80\x02\x00\x00"),
        ("texts", "é日本".encode()),
    ],
    ids=named,
)
def test_what_only_looks_like_a_pickle_is_let_through(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert check_folder(folder, listing(folder, **{name: sha256(folder / name)}), RECORD) == []


def test_files_beside_may_be_there_but_no_pickle_among_them(folder: Path) -> None:
    (folder / "metrics.json").write_text("{}")
    (folder / "more.json").write_bytes(pickle.dumps(Evil()))
    found = check_folder(folder, listing(folder), RECORD, beside=("metrics.json", "more.json", "absent.json"))
    assert found == ["more.json is a pickle, which can run any code"]


def test_all_faults_are_found_at_once(folder: Path) -> None:
    listed = listing(folder, **{"../x": "0", "w.pkl": "0", "absent": "0"})
    (folder / "a.json").write_text("[]")
    (folder / "link").symlink_to("/")
    os.mkfifo(folder / "pipe")
    (folder / "extra").touch()
    assert check_folder(folder, listed, RECORD) == [
        "'../x' is no path inside the folder",
        "w.pkl is a pickle, which can run any code",
        "link is a link",
        "pipe is no plain file",
        "absent is missing",
        "w.pkl is missing",
        "extra is extra: it is not in record.json",
        "a.json is changed: its sha256 is not the listed one",
    ]


def test_of_many_faults_the_first_are_told() -> None:
    assert told([f"fault {number}" for number in range(22)]).splitlines()[-2:] == ["  fault 19", "  and 2 more"]


@given(st.text(max_size=20))
def test_a_name_that_is_let_through_stays_in_the_folder(name: str) -> None:
    if artifact._inside(name, RECORD):
        assert os.path.normpath(name) == name
        assert Path("/folder", name).resolve().is_relative_to("/folder")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.mkdir(), "expected a plain file, found a link, a folder or a device"),
        (lambda f: f.symlink_to("/dev/zero"), "expected a plain file, found a link, a folder or a device"),
        (os.mkfifo, "expected a plain file, found a link, a folder or a device"),
        (lambda f: f.touch() or os.truncate(f, 5 << 30), "expected at most 4,194,304 bytes, found 5,368,709,120"),
        (lambda f: f.write_text("[" * 100_000), "it is nested too deeply"),
    ],
)
def test_a_record_is_read_only_if_it_is_a_plain_file_of_a_sane_size(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tmp_path / RECORD)
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_json(tmp_path / RECORD)


def test_a_link_to_a_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bundle)
    with pytest.raises(BadBundle) as fault:
        open_bundle(tmp_path / "link")
    assert str(fault.value) == f"{tmp_path / 'link'} is a link: name the folder that it leads to"
