"""Filters that a team writes itself: a class in a private wheel of the bundle, named in headgate.toml.

    [[models.replies.filters.custom]]
    class = "acme_filters:NoCompetitors"
    options = { names = ["Globex"] }

A filter that raises, or answers with anything but a reason, costs its own message an answer and no other: reason `filter_error`.
"""

import logging
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from headgate.errors import BadBundle, BadInput
from headgate.model.filters import FilterConfig

FILTER_ERROR = "filter_error"
REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")
CLASS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
METHODS = ("pre_score", "post_score")
FROM_WHEELS: dict[str, Path] = {}  # packages that this process imported from a bundle


class Headers(Mapping[str, str]):
    """A mail's headers for a filter: read-only, found in any case, and iterated by the sender's names."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._by_name = {name.lower(): (name, value) for name, value in headers.items()}

    def __getitem__(self, name: str) -> str:
        return self._by_name[str(name).lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


class Filter(Protocol):
    """What a team writes. Reasons are short names such as `competitor`: they are counted in metrics, so that they hold no text."""

    def pre_score(self, text: str, headers: Mapping[str, str] | None) -> str | None:
        """Why a message is skipped, given its current reply and its `Headers`; None to let it be scored."""

    def post_score(self, text: str, label: str, score: float) -> str | None:
        """Why an answer is abstained from, given the best label and its probability; None to let it stand."""


def load_filters(config: FilterConfig, wheels: Path | None) -> tuple[Filter, ...]:
    """The team's filters in order.

    wheels: the verified folder of a bundle, which must hold each class's package; None: only what is installed counts.
    Raises BadBundle where a package is missing there or differs from the installed one, BadInput where a class is no filter.
    """
    return tuple(_made(str(entry["class"]), dict(entry.get("options") or {}), wheels) for entry in config.custom)


def skip_reason(filters: Sequence[Filter], text: str, headers: Mapping[str, str] | None) -> str | None:
    """The first reason of a filter to skip a message."""
    given = Headers(headers) if filters and headers is not None else None
    return next((reason for one in filters if (reason := _asked(one, one.pre_score, text, given))), None)


def abstain_reason(filters: Sequence[Filter], text: str, label: str, score: float) -> str | None:
    """The first reason of a filter to abstain from an answer."""
    return next((reason for one in filters if (reason := _asked(one, one.post_score, text, label, score))), None)


def _asked(one: Filter, method: Callable[..., Any], *given: Any) -> str | None:
    name = f"{type(one).__module__}:{type(one).__qualname__}"
    try:
        reason = method(*given)
    except Exception as fault:
        _log(f"filter {name} raised {type(fault).__name__}: its messages are answered with {FILTER_ERROR}")
        return FILTER_ERROR
    if reason is None:
        return None
    if not isinstance(reason, str) or not REASON.fullmatch(reason):
        _log(f"filter {name}: expected a reason such as 'competitor' or None, found {type(reason).__name__}; answered {FILTER_ERROR}")
        return FILTER_ERROR
    return reason


@cache
def _log(line: str) -> None:
    """Say it once a process. Neither messages nor what a fault says are logged: both may hold a mail's text."""
    logging.getLogger(__name__).warning(line)


def _made(name: str, options: dict[str, Any], wheels: Path | None) -> Filter:
    if not CLASS.fullmatch(name):
        raise BadInput(f"filter {name!r}: expected 'package.module:Class', such as 'acme_filters:NoCompetitors'")
    module_name, _, class_name = name.partition(":")
    found = getattr(_module(name, module_name, wheels), class_name, None)
    if not isinstance(found, type):
        raise BadInput(f"filter {name}: expected a class, found {'nothing' if found is None else type(found).__name__} of that name")
    if missing := [method for method in METHODS if not callable(getattr(found, method, None))]:
        raise BadInput(f"filter {name}: expected the methods {' and '.join(METHODS)}, found no {' and no '.join(missing)}")
    try:
        made: Filter = found(**options)
    except Exception as fault:
        raise BadInput(f"filter {name} cannot be made with the options {sorted(options)}: {type(fault).__name__}: {fault}") from fault
    return made


def _module(name: str, module_name: str, wheels: Path | None) -> ModuleType:
    found = None if wheels is None else _source(name, module_name, wheels)
    try:
        module = _imported(module_name, found[0] if found else None)
    except Exception as fault:
        raise BadInput(f"filter {name} cannot be imported: {type(fault).__name__}: {fault}") from fault
    loader: Any = module.__loader__
    if found and loader.get_data(module.__file__) != found[1]:
        raise BadBundle(f"filter {name}: {module.__file__} is not what the bundle's {found[0].name} holds; install that wheel, or none")
    return module


def _source(name: str, module_name: str, wheels: Path) -> tuple[Path, bytes]:
    """The bundle's wheel that holds a module, and the module's source."""
    path = module_name.replace(".", "/")
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            if members := {*archive.namelist()} & {f"{path}.py", f"{path}/__init__.py"}:
                return wheel, archive.read(min(members))
    raise BadBundle(
        f"filter {name}: expected its package among the bundle's wheels, found none; list it in private_packages and wrap again"
    )


def _imported(module_name: str, wheel: Path | None) -> ModuleType:
    """The module as it is installed, else from a wheel of pure Python; what came from another bundle's wheel is forgotten first."""
    package = module_name.partition(".")[0]
    if FROM_WHEELS.get(package, wheel) != wheel:
        _forget(package)
    try:
        return import_module(module_name)
    except ModuleNotFoundError as fault:
        of_package = f"{module_name}.".startswith(f"{fault.name}.")
        if wheel is None or not of_package or not wheel.name.endswith("-none-any.whl"):
            raise
    FROM_WHEELS[package] = wheel
    sys.path.append(str(wheel))
    invalidate_caches()
    return import_module(module_name)


def _forget(package: str) -> None:
    path = str(FROM_WHEELS.pop(package))
    sys.path[:] = [entry for entry in sys.path if entry != path]
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
        del sys.modules[name]
