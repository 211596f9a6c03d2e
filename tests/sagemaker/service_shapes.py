"""What SageMaker's own service model says of a request or a response: every member, type, enum, bound and pattern."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import regex
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator


@cache
def service(name: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(name)


def faults(value: object, shape: Shape) -> list[str]:
    """All that is wrong with the value, in the words of the AWS services; empty: nothing.

    botocore checks types, required and unknown members and minima; here are the maxima, the enums and the patterns too.
    """
    types = ParamValidator().validate(value, shape)
    if types.has_errors():
        return types.generate_report().splitlines()
    return list(_constraints(value, shape, ""))


def refusal(found: list[str]) -> str:
    many = "s" if len(found) > 1 else ""
    return f"{len(found)} validation error{many} detected: {'; '.join(found)}"


def _constraints(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in value:
                yield from _constraints(value[name], member, f"{path}.{name[0].lower()}{name[1:]}".lstrip("."))
        return
    if shape.type_name == "list":
        for number, item in enumerate(value, start=1):
            yield from _constraints(item, shape.member, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _constraints(key, shape.key, f"{path}.key")
            yield from _constraints(item, shape.value, f"{path}.{key}.value")
    for broken in _broken(value, shape):
        yield f"Value '{str(value)[:100]}' at '{path}' failed to satisfy constraint: Member must {broken}"


def _broken(value: Any, shape: Shape) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    numeric = shape.type_name in ("integer", "long", "float", "double")
    if numeric or isinstance(value, str | bytes | list | dict):
        size = value if numeric else len(value)
        noun = "value" if numeric else "length"
        if low is not None and size < low:
            yield f"have {noun} greater than or equal to {low}"
        if high is not None and size > high:
            yield f"have {noun} less than or equal to {high}"
    if isinstance(value, str):
        allowed = shape.metadata.get("enum")
        if allowed and value not in allowed:
            yield f"satisfy enum value set: [{', '.join(allowed)}]"
        pattern = shape.metadata.get("pattern")
        if pattern and not regex.fullmatch(pattern, value):
            yield f"satisfy regular expression pattern: {pattern}"
