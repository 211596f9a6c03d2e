"""The SBOM is CycloneDX, says what is in the bundle, and is the same for the same bundle."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from headgate.model.artifact import sha256_file
from headgate.model.bundle import open_bundle
from headgate.model.sbom import write_sbom
from headgate.model.serving_lock import parse


@pytest.fixture
def sbom(bundle: Path) -> dict[str, Any]:
    return dict(open_bundle(bundle).read_json("sbom.cdx.json"))


def component(sbom: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [one for one in sbom["components"] if one["name"] == name]
    return dict(found)


def test_it_is_valid_cyclonedx(bundle: Path) -> None:
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str((bundle / "sbom.cdx.json").read_text())
    assert fault is None, fault


def test_it_names_every_public_package_with_version_digests_and_licence(bundle: Path, sbom: dict[str, Any]) -> None:
    for package in parse((bundle / "requirements.txt").read_text()).values():
        found = component(sbom, package.name)
        assert found["purl"] == f"pkg:pypi/{package.name}@{package.version}"
        [files] = found["externalReferences"]
        assert [one["content"] for one in files["hashes"]] == sorted(package.hashes)
        assert found["licenses"]


def test_it_names_the_models_and_our_own_wheel_with_their_digests(bundle: Path, sbom: dict[str, Any]) -> None:
    assert component(sbom, "model.onnx")["hashes"] == [{"alg": "SHA-256", "content": sha256_file(bundle / "model.onnx")}]
    [wheel] = (bundle / "wheels").iterdir()
    own = component(sbom, "headgate")
    assert own["hashes"] == [{"alg": "SHA-256", "content": sha256_file(wheel)}]
    assert own["licenses"] == [{"expression": "Apache-2.0"}]


def test_an_unknown_licence_is_told_in_its_own_words(sbom: dict[str, Any]) -> None:
    assert component(sbom, "onnxruntime")["licenses"] == [{"license": {"name": "MIT License"}}]


def test_it_is_the_same_for_the_same_bundle_and_knows_no_time(bundle: Path, sbom: dict[str, Any]) -> None:
    before = (bundle / "sbom.cdx.json").read_bytes()
    write_sbom(bundle)
    assert (bundle / "sbom.cdx.json").read_bytes() == before
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", sbom["serialNumber"])
    assert "timestamp" not in json.dumps(sbom)
