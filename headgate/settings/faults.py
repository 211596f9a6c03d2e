"""What is wrong with settings, said in one form: what was expected, what was found, and what to do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails

Whole = TypeVar("Whole")
Table = TypeVar("Table", bound=BaseModel)
EXPECTED = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "literal_error": "{expected}",
    "path_type": "a path",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def told_faults(root: type[BaseModel], fault: ValidationError) -> list[str]:
    """A line for each fault: its place in the file, and what is wrong there. `root` names the keys that are known at each place."""
    return [f"{'.'.join(map(str, one['loc'])) or 'headgate.toml'}: {_told(root, one)}" for one in fault.errors()]


def validated(given: Any, validate: Callable[[Any], Whole], rule: Callable[[Whole], str], parts: Callable[[Any], Whole | None]) -> Whole:
    """The valid whole that a rule holds for; else its faults, and what the rule says of those parts that are valid all the same.

    rule: what is wrong, empty where nothing is; parts: what can be judged of something with other faults, if anything.
    """
    try:
        whole = validate(given)
    except ValidationError as fault:
        valid = parts(given)
        raise (_besides(fault, told, given) if valid and (told := rule(valid)) else fault) from None
    if told := rule(whole):
        raise ValueError(told)
    return whole


def part_of(table: type[Table], given: Any, *keys: str) -> Table | None:
    """The table as these keys alone make it, whatever is wrong with others; None if they are at fault themselves."""
    if isinstance(given, Mapping):
        with suppress(ValidationError):
            return table.model_validate({key: given[key] for key in keys if key in given})
    return given if isinstance(given, table) else None


def _besides(fault: ValidationError, rule: str, given: object) -> ValidationError:
    """The same faults, and one more."""
    kept = [InitErrorDetails(type=e["type"], loc=e["loc"], input=e["input"], ctx=e.get("ctx", {})) for e in fault.errors()]
    broken = InitErrorDetails(type="value_error", loc=(), input=given, ctx={"error": ValueError(rule)})
    return ValidationError.from_exception_data(fault.title, [*kept, broken])


def _told(root: type[BaseModel], fault: ErrorDetails) -> str:
    """One fault in words; those of our own validators say everything themselves."""
    kind, found = fault["type"], f"found {fault['input']!r}"
    if kind == "value_error":
        return str(fault["ctx"]["error"])
    if kind == "missing":
        return "expected a value, found none; it has no default"
    if kind == "extra_forbidden":
        return _unknown_key(str(fault["loc"][-1]), known_keys(root, fault["loc"][:-1]))
    if kind in EXPECTED:
        bounds = {name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in fault.get("ctx", {}).items()}
        return f"expected {EXPECTED[kind].format(**bounds)}, {found}"
    return f"{fault['msg'].replace('Input should be', 'expected')}, {found}"


def _unknown_key(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"expected one of {', '.join(known)}, found {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def known_keys(root: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """The keys that the table at a place of the file may have, as the file spells them."""
    found: Any = root
    for part in place:
        found = _within(found, part)
    table = next(_tables(found), None)
    return [field.alias or name for name, field in table.model_fields.items()] if table else []


def _within(kind: Any, part: int | str) -> Any:
    """The type of one key or one item of a type."""
    if table := next(_tables(kind), None):
        return next((field.annotation for name, field in table.model_fields.items() if part in (name, field.alias)), None)
    inner = get_args(kind)
    return inner[1] if issubclass(get_origin(kind) or object, Mapping) else inner[0] if inner else None


def _tables(kind: Any) -> Iterator[type[BaseModel]]:
    """The record that a type is or may be: itself, or the part of `X | None` that is one."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    elif get_origin(kind) is Union or type(kind).__name__ == "UnionType":
        yield from (part for part in get_args(kind) if isinstance(part, type) and issubclass(part, BaseModel))
