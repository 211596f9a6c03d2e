"""The CycloneDX list of what a bundle holds and what it installs, made from the bundle's folder alone: no time, no random number."""

import json
import uuid
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

import headgate
from headgate.model.artifact import sha256_file
from headgate.model.serving_lock import Pinned, parse

FILE = "sbom.cdx.json"
SPEC_VERSION = "1.6"
BUNDLE = "bundle"
Component = dict[str, Any]


def write_sbom(folder: Path) -> None:
    """Write sbom.cdx.json of a bundle folder that has its models, wheels, requirements.txt and provenance.json."""
    components = [*_models(folder), *_wheels(folder), *_public(folder)]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "headgate", "version": headgate.__version__}]},
            "component": {"type": "application", "bom-ref": BUNDLE, "name": _model_name(folder)},
        },
        "components": components,
        "dependencies": [{"ref": BUNDLE, "dependsOn": sorted(one["bom-ref"] for one in components)}],
    }
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    (folder / FILE).write_text(json.dumps({**content, "serialNumber": number.urn}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _model_name(folder: Path) -> str:
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    return str(provenance.get("model") or "by-hand")


def _models(folder: Path) -> list[Component]:
    """The engine's files and what it reads a text with."""
    models = [("machine-learning-model", file) for file in sorted(folder.glob("*.onnx"))]
    data = [("data", file) for file in sorted([folder / "tokenizer.json", *folder.glob("*.safetensors")])]
    return [{"type": kind, "bom-ref": f"file:{file.name}", "name": file.name, "hashes": [_sha256(file)]} for kind, file in models + data]


def _wheels(folder: Path) -> list[Component]:
    """Headgate's own wheel and private ones: no package URL, since no public index has them."""
    found = []
    for file in sorted((folder / "wheels").glob("*.whl")):
        told = _metadata(file)
        name, version = str(told["Name"]), str(told["Version"])
        license_told = told["License-Expression"] or told["License"]
        component = {"type": "library", "bom-ref": f"wheel:{name}@{version}", "name": name, "version": version, "hashes": [_sha256(file)]}
        found.append(component | _licenses(str(license_told).partition("\n")[0] if license_told else "unknown"))
    return found


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [member for member in archive.namelist() if member.endswith(".dist-info/METADATA") and member.count("/") == 1]
        return HeaderParser().parsestr(archive.read(name).decode())


def _public(folder: Path) -> list[Component]:
    return [_library(package) for package in parse((folder / "requirements.txt").read_text(encoding="utf-8")).values()]


def _library(package: Pinned) -> Component:
    purl = f"pkg:pypi/{package.name}@{package.version}"
    files = {
        "type": "distribution",
        "url": f"https://pypi.org/project/{package.name}/{package.version}/#files",
        "comment": "any one of the files with these digests is installed",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
    }
    component = {"type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl}
    return component | {"externalReferences": [files]} | _licenses(package.license)


def _licenses(told: str) -> Component:
    """As an SPDX expression where it is one, else in the package's own words; nothing where it says nothing."""
    if told in ("", "unknown"):
        return {}
    try:
        return {"licenses": [{"expression": str(canonicalize_license_expression(told))}]}
    except InvalidLicenseExpression:
        return {"licenses": [{"license": {"name": told}}]}


def _sha256(file: Path) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sha256_file(file)}
