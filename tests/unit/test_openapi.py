"""The document that the server shows about itself is right, and is what the server does."""

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from served import FakeRuntime, served

import headgate.serving
from headgate.serving.config import COHORTS, ServingConfig
from headgate.serving.identifiers import PATTERN
from headgate.serving.reading import READ

DOCUMENT: dict[str, Any] = json.loads((Path(headgate.serving.__file__).with_name("openapi.json")).read_text())


def test_it_is_openapi_3_1() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_it_names_every_path_and_method_that_is_known() -> None:
    with served(FakeRuntime()) as client:
        assert client.get("/openapi.json").json() == DOCUMENT
        told = client.get("/nothing").json()["detail"]
    known = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert set(told.split(" is not known here; ")[1].removesuffix(" are").replace(" and ", ", ").split(", ")) == known


def test_it_says_what_the_code_says() -> None:
    components = DOCUMENT["components"]
    assert tuple(DOCUMENT["paths"]["/invocations"]["post"]["requestBody"]["content"]) == READ
    assert tuple(components["parameters"]["Cohort"]["schema"]["enum"]) == COHORTS
    assert components["schemas"]["Messages"]["maxItems"] == ServingConfig().max_instances
    for schema in ("Prediction", "Correction"):
        written = components["schemas"][schema]["properties"]["prediction_id"]["pattern"]
        assert written.strip("^$").replace("0-9A-HJKMNP-TV-Z", "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == PATTERN


@pytest.mark.parametrize("name", DOCUMENT["paths"]["/invocations"]["post"]["requestBody"]["content"])
def test_its_examples_are_answered(name: str) -> None:
    content = DOCUMENT["paths"]["/invocations"]["post"]["requestBody"]["content"][name]
    examples = [content["example"]] if "example" in content else [example["value"] for example in content["examples"].values()]
    with served(FakeRuntime()) as client:
        for example in examples:
            body = example if isinstance(example, str) else json.dumps(example)
            assert client.post("/invocations", content=body.encode(), headers={"Content-Type": name}).status_code == 200
