"""encoder/config.json: writing it, and building the network that it describes once its weights are known to be of that size.

No code is ever taken from a configuration: `auto_map` and its like are refused, and transformers is asked for its own classes only.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.modules import module

from headgate.model.artifact import MAX_TEXT_BYTES, read_json
from headgate.model.network import Network, without_pooler
from headgate.model.weights import Shape

FOREIGN_CODE = {"auto_map", "custom_pipelines", "trust_remote_code", "attn_implementation", "experts_implementation", "quantization_config"}
OF_OTHER_HEADS = {"id2label", "label2id", "num_labels"}
MAX_NUMBER = 2_000_000
REGISTERED_PER_TENSOR = 20
FAULTS_SHOWN = 3
MESSAGE_CHARACTERS = 200


def save_encoder_config(encoder: Any, folder: Path) -> None:
    """Write the architecture alone, free of paths and of code to fetch, so that equal encoders give equal files."""
    left_out = FOREIGN_CODE | OF_OTHER_HEADS | {"transformers_version"}
    config = {name: value for name, value in encoder.config.to_diff_dict().items() if not name.startswith("_") and name not in left_out}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def empty_network(config: Path, shapes: Mapping[str, Shape], labels: int, attention: str) -> Network:
    """The network of a configuration, its weights still to be loaded; ValueError unless they have exactly these shapes.

    The comparison is made with a network that takes no memory, so that a lie about a size costs nothing.
    """
    described = _configuration(read_json(config, MAX_TEXT_BYTES))
    try:
        with torch.device("meta"), _at_most(REGISTERED_PER_TENSOR * (len(shapes) + 100)):
            outline = Network(_encoder(described, attention), labels)
    except Exception as fault:  # transformers raises whatever a wrong value leads to
        raise ValueError(_no_encoder(fault)) from fault
    _check_shapes({name: tuple(tensor.shape) for name, tensor in outline.state_dict().items()}, shapes)
    return Network(_encoder(described, attention), labels)


def _encoder(config: Any, attention: str) -> Any:
    return without_pooler(transformers.AutoModel.from_config(config, attn_implementation=attention))


def _configuration(content: Any) -> Any:
    if not isinstance(content, dict):
        raise ValueError(f"expected an object, found {type(content).__name__}")
    for name, value in _settings(content):
        if name in FOREIGN_CODE or name.startswith("_"):
            raise ValueError(f"{name}: a saved classifier never brings or fetches code")
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            raise ValueError(f"{name}: expected at most {MAX_NUMBER:,}, found {value:,}")
    kept = {name: value for name, value in content.items() if name not in OF_OTHER_HEADS}
    try:
        return transformers.AutoConfig.for_model(**kept)
    except Exception as fault:
        raise ValueError(_no_encoder(fault)) from fault


def _no_encoder(fault: Exception) -> str:
    return f"it describes no encoder of transformers {transformers.__version__}: {' '.join(str(fault).split())[:MESSAGE_CHARACTERS]}"


def _settings(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every name and value, however deep; the values of a list under the list's name."""
    waiting: list[tuple[str, Any]] = list(content.items())
    while waiting:
        name, value = waiting.pop()
        yield name, value
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(name, part) for part in value]


@contextmanager
def _at_most(parts: int) -> Iterator[None]:
    """Stop this thread from building more than so many parameters and modules."""
    thread, built = threading.get_ident(), 0

    def count(*_: object) -> None:
        nonlocal built
        built += threading.get_ident() == thread
        if built > parts:
            raise ValueError("it has far more parts than the weights have tensors")

    hooks = (module.register_module_parameter_registration_hook(count), module.register_module_module_registration_hook(count))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _check_shapes(described: Mapping[str, Shape], held: Mapping[str, Shape]) -> None:
    faults = [
        f"{name} {described.get(name, 'none')} where the weights have {held.get(name, 'none')}"
        for name in sorted(described.keys() | held.keys())
        if described.get(name) != held.get(name)
    ]
    if faults:
        more = f" and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
        raise ValueError(f"it describes another network: {'; '.join(faults[:FAULTS_SHOWN])}{more}")
