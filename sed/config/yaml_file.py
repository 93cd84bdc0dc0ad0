"""Configs: flat YAML, `key: value` lines, with `base: <file>` for settings taken from another config."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sed.errors import UserError
from sed.files import write_text
from sed.input_files import read_text

BASE = "base"
# {key whose value is a path: kind of file, for messages}; a path is relative to the config, and made absolute.
FILES = {"features": "config", "class_map": "table"}


class Setting(NamedTuple):
    """Value of a key in a config, and its position `file:line`."""

    value: Any
    where: str


def read_yaml(path: str | Path) -> dict[str, Setting]:
    """Read a config, including the settings of its base that it does not replace.

    Args:
        path: a flat YAML mapping. Its key `base` names another config, relative to it, which has no base itself.

    Returns:
        {key: (value, where)}, without `base`; keys of the base come first.

    Raises:
        UserError: the file or its base is missing or not flat YAML, has a duplicate key, a key or an item
            without a value, or names a missing file (FILES), or the base has a base; the message has file and line.
    """
    path = Path(path)
    own = _read_file(path)
    if BASE not in own:
        return own
    name, where = own.pop(BASE)
    if not isinstance(name, str):
        raise UserError(f"{where}: base: '{name}' is not a file name (one config, relative to this file)")
    base_path = path.parent / name
    if not base_path.is_file():
        raise UserError(f"{where}: base: {base_path}: no such config (its path is relative to this file)")
    base = _read_file(base_path)
    if BASE in base:
        raise UserError(f"{base[BASE].where}: {base_path} is the base of {path} and has a base itself (one level only)")
    replaced = {_canonical_key(key) for key in own}
    return {key: setting for key, setting in base.items() if _canonical_key(key) not in replaced} | own


def _read_file(path: Path) -> dict[str, Setting]:
    try:
        return _settings(path, read_text(path))
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such config (check the path; the recipes' configs are in conf/)") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: not YAML: {getattr(error, 'problem', error)} (write `key: value` lines)") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deep for a config (write `key: value` lines)") from None


def _settings(path: Path, text: str) -> dict[str, Setting]:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}:{node.start_mark.line + 1}: a config is flat YAML (write `key: value` lines)")
    settings: dict[str, Setting] = {}
    lines: dict[str, int] = {}  # of keys in canonical form: gru-units and gru_units are one key
    for key_node, value_node in node.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise UserError(f"{where}: a key that is not a word (write `key: value`)")
        key = str(_constructed(where, key_node))
        if first := lines.get(_canonical_key(key)):
            raise UserError(f"{where}: duplicate key '{key}', first on line {first} (keep one)")
        lines[_canonical_key(key)] = key_node.start_mark.line + 1
        if isinstance(value_node, yaml.MappingNode):
            raise UserError(f"{where}: '{key}' is nested (configs are flat: `key: value`)")
        if isinstance(value_node, yaml.SequenceNode) and not all(
            isinstance(item, yaml.ScalarNode) for item in value_node.value
        ):
            raise UserError(f"{where}: '{key}' is a list of lists (a list of words or numbers is expected)")
        value = _constructed(where, value_node)
        if value is None or (isinstance(value, list) and None in value):
            what = "no value" if value is None else "an item without a value"
            raise UserError(f"{where}: '{key}' has {what} (give one, or leave the line out)")
        kind = FILES.get(_canonical_key(key))
        if kind and isinstance(value, str) and value:
            value = str((path.parent / value).resolve())
            if not Path(value).is_file():
                raise UserError(f"{where}: {key}: {value}: no such {kind} (its path is relative to this file)")
        settings[key] = Setting(value, where)
    return settings


# Types of values, by their tags in YAML.
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq")}


def _constructed(where: str, node: yaml.Node) -> Any:
    """Return the value of a scalar or of a list of scalars; raise UserError for types other than `_TAGS`."""
    for inner in (node, *(node.value if isinstance(node, yaml.SequenceNode) else [])):
        if inner.tag == "tag:yaml.org,2002:timestamp":  # a name that looks like a date, valid or not
            inner.tag = "tag:yaml.org,2002:str"
        if inner.tag not in _TAGS:
            raise UserError(f"{where}: a value of type {inner.tag.rpartition(':')[2]} (write a number or a word)")
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node, deep=True)
    except (ValueError, OverflowError, LookupError, yaml.YAMLError):
        raise UserError(f"{where}: '{node.value}' is not of the type that its tag names (remove the tag)") from None
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and "\0" in item:
            raise UserError(f"{where}: a NUL in a value (remove it)")
    return value


def _canonical_key(key: str) -> str:
    return key.replace("-", "_")


def value_text(value: Any) -> str:
    """Format a value as on a command line: `true`, `2,2,4,4`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(value_text, value)) if isinstance(value, list | tuple) else str(value)


def canonical(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a config's keys and values as sorted texts, which are the same for equivalent configs; paths unchanged."""
    texts = {
        _canonical_key(key): str(value) if key in FILES else canonical_text(value) for key, value in config.items()
    }
    return dict(sorted(texts.items()))


def canonical_text(value: Any) -> str:
    """Return a text that is the same for all spellings of a value: 10 and 10.0, 5e-6 and 0.000005, [2, 4] and `2,4`."""
    return ",".join(_canonical_number(part.strip()) for part in value_text(value).split(","))


def _canonical_number(text: str) -> str:
    if not text.lstrip("+-.")[:1].isdecimal():  # nan and inf are words
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    # larger integers as 1e+20, not with all digits
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)


def config_text(values: Mapping[str, Any]) -> str:
    """Format settings as a config: flat YAML, sorted, one line per setting, without those that are None."""
    return "".join(
        yaml.safe_dump(
            {key: value},
            default_flow_style=None if isinstance(value, list | tuple) else False,  # a list on one line
            allow_unicode=True,
            width=float("inf"),
        )
        for key, value in sorted(values.items())
        if value is not None
    )


def save_config(path: str | Path, args: argparse.Namespace | dict[str, Any], skip: Sequence[str] = ()) -> None:
    """Write resolved options as a config.

    Args:
        path: the file to write.
        args: parsed options, or a config.
        skip: keys to leave out; those with value None are left out, too.
    """
    values = args if isinstance(args, dict) else vars(args)
    write_text(path, config_text({key: value for key, value in values.items() if key not in skip}))


def load_config(path: str | Path) -> dict[str, Any]:
    """Read a config, including the settings of its base, as {key: value}; keys have underscores, not dashes."""
    return {_canonical_key(key): setting.value for key, setting in read_yaml(path).items()}
