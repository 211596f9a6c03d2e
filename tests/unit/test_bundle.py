"""A bundle is what was written, or it is refused."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.errors import BadBundle, BadInput
from headgate.evaluation.endpoint import endpoint_test
from headgate.model.artifact import sha256_file
from headgate.model.bundle import digest_of, open_bundle
from headgate.model.filters import FilterConfig
from headgate.model.runtime import Message, Runtime
from headgate.model.wheel import build_wheel
from headgate.model.wrapping import wrap


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def relist(folder: Path, change: Callable[[dict[str, str]], None]) -> None:
    """Change the list of files as somebody would who knows the format."""
    manifest = json.loads((folder / "bundle.json").read_text())
    change(manifest["files"])
    (folder / "bundle.json").write_text(json.dumps(manifest))


def test_a_bundle_holds_what_serving_needs_and_no_more(bundle: Path, provenance: dict[str, Any]) -> None:
    opened = open_bundle(bundle)
    names = set(opened.manifest["files"])
    assert names == {
        "calibration.json",
        "engine.json",
        "examples.jsonl",
        "filters.json",
        "labels.json",
        "model.onnx",
        "model_card.md",
        "provenance.json",
        "requirements.txt",
        "sbom.cdx.json",
        "tokenizer.json",
        next(name for name in names if name.startswith("wheels/headgate-")),
    }
    assert opened.provenance == provenance
    assert opened.digest == digest_of(opened.manifest["files"])


def test_two_wraps_of_the_same_inputs_give_the_same_digest(
    bundle: Path, tiny_classifier: Path, tmp_path: Path, provenance: dict[str, Any]
) -> None:
    again = wrap(tiny_classifier, tmp_path / "again", FilterConfig(min_confidence=0.0, out_of_scope_share=0.0), provenance)
    assert again.digest == open_bundle(bundle).digest


def test_other_filters_or_provenance_give_another_digest(
    bundle: Path, tiny_classifier: Path, tmp_path: Path, provenance: dict[str, Any]
) -> None:
    other = wrap(tiny_classifier, tmp_path / "other", FilterConfig(min_confidence=0.9), provenance)
    assert other.digest != open_bundle(bundle).digest


def test_wrapping_again_is_harmless_and_never_overwrites(copy: Path, tiny_classifier: Path, provenance: dict[str, Any]) -> None:
    before = open_bundle(copy).digest
    assert wrap(tiny_classifier, copy, FilterConfig(min_confidence=0.0, out_of_scope_share=0.0), provenance).digest == before
    with pytest.raises(BadInput, match="already holds something else than bundle"):
        wrap(tiny_classifier, copy, FilterConfig(max_characters=5), provenance)
    assert open_bundle(copy).digest == before


def test_a_failed_wrap_leaves_nothing_behind(tiny_classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="provenance: expected plain JSON values"):
        wrap(tiny_classifier, tmp_path / "out" / "bundle", FilterConfig(), {"when": object()})
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bundle_names_no_place_of_this_machine(bundle: Path, tiny_classifier: Path, tiny_encoder: Path) -> None:
    for name in open_bundle(bundle).manifest["files"]:
        if not name.startswith("wheels/"):
            content = (bundle / name).read_bytes()
            assert not [place for place in (tiny_classifier, tiny_encoder, Path.cwd()) if str(place).encode() in content], name


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda f: (f / "labels.json").write_text("[]"), "labels.json is changed: its sha256 is not the listed one"),
        (lambda f: (f / "model.onnx").unlink(), "model.onnx is missing"),
        (lambda f: (f / "notes.txt").write_text("hi"), "notes.txt is extra: it is not in bundle.json"),
        (lambda f: (f / "link.json").symlink_to("labels.json"), "link.json is a link"),
        (lambda f: (f / "bundle.json").unlink(), "it has no bundle.json"),
        (lambda f: (f / "bundle.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "bundle.json").write_text("[" * 100_000), "cannot be read"),
        (lambda f: (f / "bundle.json").write_text('{"format_version": 3, "files": {}}'), "expected format_version 1 to 2, found 3"),
        (lambda f: (f / "bundle.json").write_text('{"format_version": true, "files": {}}'), "expected format_version 1 to 2, found True"),
        (lambda f: (f / "bundle.json").write_text('{"format_version": 1, "files": []}'), "expected `files` to map each path to its sha256"),
        (lambda f: (f / "bundle.json").write_text("[]"), "expected format_version 1 to 2, found None"),
        (lambda f: relist(f, lambda files: files.pop("labels.json")), "labels.json is not listed"),
        (lambda f: relist(f, lambda files: files.pop("sbom.cdx.json")), "sbom.cdx.json is not listed"),
        (lambda f: relist(f, lambda files: files.update({"../outside.json": "0" * 64})), "'../outside.json' is no path inside the folder"),
        (lambda f: relist(f, lambda files: files.update({"/etc/passwd": "0" * 64})), "'/etc/passwd' is no path inside the folder"),
        (lambda f: relist(f, lambda files: files.update({"a/./b": "0" * 64})), "'a/./b' is no path inside the folder"),
    ],
)
def test_a_bundle_that_was_touched_is_refused(copy: Path, damage: Callable[[Path], object], fault: str) -> None:
    damage(copy)
    with pytest.raises(BadBundle) as refused:
        open_bundle(copy)
    assert fault in str(refused.value)


@pytest.mark.parametrize(("name", "content"), [("weights.pkl", b"x"), ("weights.bin", b"\x80\x04\x95"), ("w.pt", b"PK")])
def test_a_pickle_is_refused_even_where_it_is_listed(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    relist(copy, lambda files: files.update({name: sha256_file(copy / name)}))
    with pytest.raises(BadBundle, match=f"{name} is a pickle, which can run any code"):
        open_bundle(copy)


def test_all_faults_are_named_at_once(copy: Path) -> None:
    (copy / "labels.json").unlink()
    (copy / "extra").write_text("x")
    with pytest.raises(BadBundle, match=r"2 fault\(s\):\n  labels.json is missing\n  extra is extra"):
        open_bundle(copy)


def test_a_listed_file_with_wrong_fields_is_refused(copy: Path) -> None:
    (copy / "filters.json").write_text('{"shout": true}')
    relist(copy, lambda files: files.update({"filters.json": sha256_file(copy / "filters.json")}))
    with pytest.raises(BadBundle, match="has the wrong fields"):
        Runtime.load(copy)


def test_a_bundle_of_the_first_format_is_loaded(copy: Path) -> None:
    (copy / "lexical.safetensors").unlink(missing_ok=True)
    filters = {"current_reply": True, "machine_mail": True, "max_characters": 20_000, "min_confidence": 0.35}
    (copy / "calibration.json").write_text('{"temperature": 1.0}')
    (copy / "filters.json").write_text(json.dumps(filters))
    (copy / "sbom.cdx.json").unlink()
    listed = json.loads((copy / "bundle.json").read_text())["files"]
    files = {name: sha256_file(copy / name) for name in listed if (copy / name).is_file()}
    (copy / "bundle.json").write_text(json.dumps({"format_version": 1, "files": files}))
    found = Runtime.load(copy)
    assert found.predict(["stop", " "]).tolist() == [found.score([Message("stop")])[0].label, None]


def test_an_engine_file_that_is_not_listed_is_refused(copy: Path) -> None:
    engine = json.loads((copy / "engine.json").read_text()) | {"file": "../../elsewhere.onnx"}
    (copy / "engine.json").write_text(json.dumps(engine))
    relist(copy, lambda files: files.update({"engine.json": sha256_file(copy / "engine.json")}))
    with pytest.raises(BadBundle, match=r"^bundle [0-9a-f]{8} has no ../../elsewhere.onnx$"):
        Runtime.load(copy)


def test_a_tokenizer_that_would_make_a_text_endless_is_refused(copy: Path) -> None:
    steps = [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}] * 20
    tokenizer = json.loads((copy / "tokenizer.json").read_text()) | {"normalizer": {"type": "Sequence", "normalizers": steps}}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    relist(copy, lambda files: files.update({"tokenizer.json": sha256_file(copy / "tokenizer.json")}))
    with pytest.raises(BadBundle, match="expected steps that make a text at most 64 times longer"):
        Runtime.load(copy)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="expected a bundle folder, found nothing at"):
        open_bundle(tmp_path / "none")


def test_the_wheel_is_the_same_twice_and_holds_the_library_alone(tmp_path: Path) -> None:
    one, two = build_wheel(tmp_path / "one"), build_wheel(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()
    names = zipfile.ZipFile(one).namelist()
    assert "headgate/serving/server.py" in names
    assert {name.split("/")[0] for name in names} == {"headgate", one.name.replace("-py3-none-any.whl", ".dist-info")}
    assert not [name for name in names if name.endswith(".pyc")]


def answering(runtime: Runtime, **changes: object) -> Callable[[dict], dict]:
    def invoke(body: dict) -> dict:
        answers = runtime.score([Message(**instance) for instance in body["instances"]])
        known = runtime.bundle.provenance
        model = {"bundle_digest": runtime.bundle.digest, "commit": known["commit"], "data_version": known["data_version"]}
        names = ("label", "score", "scores", "outcome", "reason")
        return {"predictions": [{name: getattr(answer, name) for name in names} for answer in answers], "model": model | changes}

    return invoke


def test_the_endpoint_test_passes_where_the_bundle_is_served(bundle: Path) -> None:
    assert endpoint_test(answering(Runtime.load(bundle)), bundle) == []


def test_the_endpoint_test_sees_another_bundle_and_another_commit(
    bundle: Path, tiny_classifier: Path, tmp_path: Path, provenance: dict[str, Any]
) -> None:
    other = wrap(tiny_classifier, tmp_path / "other", FilterConfig(max_characters=1), provenance)
    faults = endpoint_test(answering(Runtime.load(other.path), commit="f00"), bundle)
    assert faults[0] == f"model.bundle_digest: expected {open_bundle(bundle).digest!r}, found {other.digest!r}"
    assert faults[1] == f"model.commit: expected {provenance['commit']!r}, found 'f00'"
    assert "example 0, outcome: expected 'scored', found 'skipped'" in faults


def test_the_endpoint_test_survives_nonsense(bundle: Path) -> None:
    assert endpoint_test(lambda _: {}, bundle) == [
        "the answer does not say which model it is from: no field `model`",
        "predictions: expected 9, one an example, found no list",
    ]


def test_an_installed_wheel_rebuilds_itself(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "one")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = "import sys, pathlib; from headgate.model.wheel import build_wheel; print(build_wheel(pathlib.Path(sys.argv[1])))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "two")], check=True, cwd=tmp_path, env=environment)
    assert (tmp_path / "two" / wheel.name).read_bytes() == wheel.read_bytes()
