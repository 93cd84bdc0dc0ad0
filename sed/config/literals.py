"""Options as literals, read from a module's source, so that --help and errors in options need no import of torch.

A component declares its options at the top of its module, and `Parser.options_of` registers them:
    OPTIONS       {name: keywords of `Parser.option`} (optional)
    SECTION       title of their section in --help (optional; default: the current section)
    OPTIONS_FROM  modules whose options follow (optional): a list, or a registry {name: "module:builder"}
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@functools.cache
def literals(module: str) -> Mapping[str, Any]:
    """Read the top-level literals of a module from its source, without importing it.

    Only assignments to one name without a type (`X = ...`) are read. A literal may contain names of earlier literals.
    Other expressions are ignored, and so is a name that one of them is assigned to.

    Returns:
        {name: value}.

    Raises:
        ValueError: there is no such module.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # the module's package, which find_spec imports, is missing
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(f"no module '{module}' to read options from")
    known: dict[str, ast.expr] = {}
    values = {}
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        name, expression = node.targets[0].id, _Named(known).visit(node.value)
        try:
            values[name] = ast.literal_eval(expression)
        except ValueError:
            values.pop(name, None)
            known.pop(name, None)
            continue
        known[name] = expression
    return values


class _Named(ast.NodeTransformer):
    """Transformer that replaces names by their known expressions."""

    def __init__(self, known: Mapping[str, ast.expr]) -> None:
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._known.get(node.id, node)


def option_modules(module: str) -> list[str]:
    """Return `module` and, recursively, the modules of its `OPTIONS_FROM`, in the order of --help."""
    found = [module]
    named = literals(module).get("OPTIONS_FROM", [])
    for reference in named.values() if isinstance(named, dict) else named:
        inner = reference.partition(":")[0]  # maybe `module` itself, if the registry lists a builder of its own module
        found += [name for name in ([] if inner == module else option_modules(inner)) if name not in found]
    return found
