"""The configs of conf/ as their commands resolve them, and the copy that a test compares them with.

usage: PYTHONPATH=. python3 tests/helpers/resolved_configs.py    # rewrites tests/resolved_configs.yaml
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sed.config import Parser

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
STORED = ROOT / "tests" / "resolved_configs.yaml"

Configs = Mapping[str, Mapping[str, Any]]


def kind(path: Path) -> str:
    """Return what a config configures: `front end`, `pretraining` or `training`."""
    kinds = {"logmel": "front end", "pretrain": "pretraining"}
    return next((kind for start, kind in kinds.items() if path.name.startswith(start)), "training")


def make_parser(kind: str) -> Parser:
    """Return a parser with the options of the command that reads configs of this kind."""
    modules = {
        "front end": [],
        "pretraining": ["sed.models.detector", "sed.training.pretraining.pretraining"],
        "training": ["sed.models.detector", "sed.training.build", "sed.config.recipe_options"],
    }
    parser = Parser("test", config=True)
    for module in ["sed.features.logmel", *modules[kind]]:
        parser.options_of(module)
    return parser


def parse(path: Path) -> dict[str, Any]:
    """Return a config as the command that reads this kind of config does."""
    parser = make_parser(kind(path))
    return parser.settings(parser.parse_args(["--config", str(path)]))


def defaults(kind: str) -> dict[str, Any]:
    """Return the options of configs of this kind, at their defaults."""
    parser = make_parser(kind)
    return _portable(parser.settings(parser.parse_args([])))


def resolve() -> dict[str, dict[str, Any]]:
    """Return {path below conf/: {key: value}} of every config."""
    return {str(path.relative_to(CONF)): _portable(parse(path)) for path in sorted(CONF.rglob("*.yaml"))}


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with paths relative to the repository."""
    return {key: value.removeprefix(f"{ROOT}/") if isinstance(value, str) else value for key, value in config.items()}


def load_stored() -> dict[str, dict[str, Any]]:
    """Return every config as it was when the copy was written: the defaults of its kind, and what differs from them."""
    stored = yaml.safe_load(STORED.read_text(encoding="utf-8"))
    return {
        name: {**stored["defaults"][kind(Path(name))], **differing} for name, differing in stored["configs"].items()
    }


def moved(old: Configs, new: Configs) -> list[str]:
    """Return a line for each change: the key, its old and its new value, and the configs that it moved.

    An option that is new and stands at its default moves nothing.
    """
    changes: dict[str, list[str]] = {}
    for name in {**old, **new}:
        if name not in new or name not in old:
            changes.setdefault("not in conf/ any more" if name in old else "new config", []).append(name)
            continue
        before, now, initial = old[name], new[name], defaults(kind(Path(name)))
        for key in {**before, **now}:
            was, now_is = before.get(key, initial.get(key)), now.get(key, "no option any more")
            if was != now_is:
                changes.setdefault(f"{key}: {was} -> {now_is}", []).append(name)
    return [f"{change}  in {', '.join(names)}" for change, names in changes.items()]


def write_stored() -> None:
    """Write the copy: the defaults of each kind, and for each config what differs from them."""
    initial = {kind: defaults(kind) for kind in ("front end", "pretraining", "training")}
    configs = {
        name: {key: value for key, value in config.items() if value != initial[kind(Path(name))][key]}
        for name, config in resolve().items()
    }
    text = yaml.safe_dump({"defaults": initial, "configs": configs}, default_flow_style=None, width=118)
    STORED.write_text(
        "# Written by tests/helpers/resolved_configs.py, never by hand: what each config of conf/ resolves to.\n"
        + text,
        encoding="utf-8",
    )


if __name__ == "__main__":
    write_stored()
