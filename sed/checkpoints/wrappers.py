"""State dicts in files: nested in checkpoints of trainings, and with prefixes of wrappers of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from sed.checkpoints.importers import Mismatch

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""components of names that wrappers of torch add: DataParallel and DDP, torch.compile, FSDP, activation checkpoints"""
DEPTH = 4
"""largest number of components of a prefix that is searched for: Lightning's `state_dict.model.`, and two more"""
MOST = 1_000_000
"""largest number of values in a file, far more than a training with its optimiser has; a small damaged or hostile file
can have endless ones: of forty dictionaries, each with the next one under two keys, 2^40"""

TEACHER = "teacher.encoder."
"""end of the prefix of the teacher in files of self-distilled encoders (ATST-Frame), which have a student as well"""


class Model(NamedTuple):
    """Tensors of a model by name without prefix; the prefix in the file (possibly ''); names of the other tensors."""

    state: dict[str, Tensor]
    prefix: str
    others: list[str]


def plain_name(name: str) -> str:
    """Return a tensor's name without the components that wrappers add at any position."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def tensors_in(found: object) -> dict[str, Tensor]:
    """Return the tensors of nested mappings by their dotted names: `state_dict.model.v.cls_token`; {} for none.

    Raises:
        Mismatch: there are more than `MOST` values.
        RecursionError: a mapping is within itself.
    """
    tensors: dict[str, Tensor] = {}
    for count, (name, value) in enumerate(_values_in(found, "")):
        if count > MOST:
            raise Mismatch(f"holds more than {MOST} values")
        if isinstance(value, Tensor):
            tensors[name] = value
    return tensors


def _values_in(found: object, name: str) -> Iterator[tuple[str, object]]:
    """Yield a value, and all within nested mappings, with their dotted names."""
    yield name, found
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from _values_in(value, f"{name}.{key}" if name else str(key))


def unwrapped(tensors: Mapping[str, Tensor], recognised: Callable[[Mapping[str, Tensor]], bool]) -> Model:
    """Find the model among a file's tensors.

    Args:
        tensors: tensors by dotted names, from `tensors_in`.
        recognised: returns whether tensors, by names without prefix, are those of a known model.

    Returns:
        The model (of a self-distilled one, the teacher). If none is recognised, all tensors, with an empty prefix.

    Raises:
        Mismatch: there are several models, or two tensors of one name; the message has the prefixes or the names.
    """
    plain = {plain_name(name): tensor for name, tensor in tensors.items()}
    if len(plain) < len(tensors):
        twice, _ = Counter(map(plain_name, tensors)).most_common(1)[0]
        both = ", ".join(name for name in tensors if plain_name(name) == twice)
        raise Mismatch(f"holds one tensor under two names: {both}")
    if recognised(plain):
        return Model(plain, "", [])
    found: list[Model] = []
    for prefix in _prefixes(plain):
        if any(prefix.startswith(model.prefix) for model in found):
            continue
        below = {name.removeprefix(prefix): tensor for name, tensor in plain.items() if name.startswith(prefix)}
        if recognised(below):
            found.append(Model(below, prefix, [name for name in plain if not name.startswith(prefix)]))
    found = [model for model in found if model.prefix.endswith(TEACHER)] or found
    if len(found) > 1:
        places = ", ".join(f"'{model.prefix}'" for model in found)
        raise Mismatch(f"holds {len(found)} models, under {places}")
    return found[0] if found else Model(plain, "", [])


def _prefixes(names: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes of the names, up to DEPTH components long, shorter ones first, in the file's order."""
    found = dict.fromkeys(
        (depth, ".".join(parts[:depth]) + ".")
        for parts in (name.split(".") for name in names)
        for depth in range(1, min(DEPTH, len(parts) - 1) + 1)
    )
    return [prefix for _, prefix in sorted(found, key=lambda of: of[0])]
