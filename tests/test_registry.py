"""Components named by registries exist; an unknown name is an error that lists the known ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sed.config import literals
from sed.registry import chosen

SED = Path(__file__).resolve().parents[1] / "sed"


def registries() -> dict[str, dict[str, str]]:
    """Return {module.NAME: registry} of all literals {name: "module:attribute"} of the package."""
    found = {}
    for path in sorted(SED.rglob("*.py")):
        module = ".".join(path.relative_to(SED.parent).with_suffix("").parts)
        for name, value in literals(module).items():
            if isinstance(value, dict) and value and all(re.match(r"sed\.[\w.]+:\w+$", str(v)) for v in value.values()):
                found[f"{module}.{name}"] = value
    return found


OPTIONAL = {"wandb", "mlflow"}
REGISTRIES = registries()


def test_registries_are_found() -> None:
    assert {"sed.models.encoders.ENCODERS", "sed.models.decoders.DECODERS"} <= REGISTRIES.keys()


@pytest.mark.parametrize("where", REGISTRIES)
def test_every_component_exists_and_is_in_the_registry_s_package(where: str) -> None:
    registry = REGISTRIES[where]
    for name in registry:
        try:
            assert callable(chosen(registry, name, "component"))
        except ModuleNotFoundError as error:  # of an extra that is not installed
            assert error.name in OPTIONAL
    assert {reference.split(".")[1] for reference in registry.values()} == {where.split(".")[1]}


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"colour 'red' is not known \(green, blue\)"):
        chosen({"green": "a:b", "blue": "c:d"}, "red", "colour")
