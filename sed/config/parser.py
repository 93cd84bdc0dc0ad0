"""Parser of all commands: options, their types, and strict configs.

It works around properties of configargparse: YAML keys must match option strings exactly (so both spellings are
registered), errors of unknown keys have no file and line (so the YAML is checked first), and a second `--config`
silently replaces the first (so only one is accepted, and no abbreviations, by which a second would not be noticed).
"""

from __future__ import annotations

import argparse
import copy
import difflib
import functools
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import configargparse

from sed.config.literals import literals, option_modules
from sed.config.option_types import TYPES, bounded
from sed.config.yaml_file import config_text, read_yaml, value_text
from sed.errors import UserError

SHOW_FLAGS = ("--show-config", "--show_config")


class _Yaml(configargparse.ConfigFileParser):
    """Reader of flat YAML for configargparse; `Parser` has checked the file before."""

    def get_syntax_description(self) -> str:
        return "Configs are flat YAML: `key: value` lines."

    def parse(self, stream: Any) -> dict[str, Any]:
        return {key: value_text(setting.value) for key, setting in read_yaml(stream.name).items()}


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Formatter that shows flags only in the spelling with dashes.

    A default is added to an option's help unless the help states one, or the default is None or an empty list or tuple.
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, (), []) or "(default: " in (action.help or ""):
            return action.help
        if action.default == "":
            return f"{action.help} (default: '')"
        if isinstance(action.default, list | tuple):  # as it is typed
            return f"{action.help} (default: {value_text(action.default)})"
        return super()._get_help_string(action)

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], *args: Any, **kwargs: Any) -> None:
        super().add_usage(usage, [_dashed(action) for action in actions], *args, **kwargs)

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(_dashed(action))


def _program() -> str:
    """Return the command's name as the manual writes it: `ast-sed train`; of other scripts, the file's name."""
    path = Path(sys.argv[0])  # `sed.__main__` sets it to the command's name; with `python3 -m` it is the file
    return f"ast-sed {path.stem.replace('_', '-')}" if not path.suffix or path.parent.name == "bin" else path.name


def _dashed(action: argparse.Action) -> argparse.Action:
    """Return a copy of an action for --help, without its flags in the spelling with underscores."""
    shown = copy.copy(action)
    shown.option_strings = [flag for flag in action.option_strings if "_" not in flag] or action.option_strings
    return shown


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (see --help)")


class _Finder(argparse.ArgumentParser):
    """Parser that finds single options among arguments before the actual parsing."""

    def error(self, message: str) -> NoReturn:
        _refuse(message)


PROVENANCE = (
    "Sources of defaults: P the paper, L its laboratory's code, F FDY-SED, D DESED_task, C CP-JKU's system of 2024, "
    "S PretrainedSED, E pb_sed, I inferred; none: our own."
)
_HAS_PROVENANCE = re.compile(r"\([PLFDCSEI](, [PLFDCSEI])*[):]")

Resolve = Callable[[dict[str, Any], argparse.Namespace], dict[str, Any]]
"""function of a config and all parsed options that returns the completed config"""


class Parser(configargparse.ArgumentParser):
    """Parser of a command: long options in both spellings, at most one `--config` (`--conf`), strict YAML.

    `config` adds --config and --show-config. `option` registers one option, whose type is inferred from the default;
    `options_of` registers those that a module declares. `resolve` completes the config that `settings` returns, given
    all parsed options.
    """

    def __init__(
        self, description: str, *, config: bool = False, resolve: Resolve | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("prog", _program())
        super().__init__(
            description=description,
            allow_abbrev=False,
            add_env_var_help=False,
            add_config_file_help=False,
            config_file_parser_class=_Yaml,
            formatter_class=_HelpFormatter,
            **kwargs,
        )
        self._section: Any = self
        self._resolve = resolve
        self._not_in_config = {"config", "show_config"}
        self._given: list[str] = []  # the words that are parsed
        if config:
            self.add_argument("--config", "--conf", is_config_file=True, metavar="FILE", help="flat YAML of options")
            self.add_argument(
                *SHOW_FLAGS,
                action="store_true",
                default=argparse.SUPPRESS,
                help="print the config that results, which is a config itself, and stop",
            )

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        """Add an argument like argparse does, but so that an empty path is refused."""
        if "type" in kwargs:
            kwargs["type"] = bounded(kwargs["type"], None, None)
        action: argparse.Action = super().add_argument(*names, **kwargs)
        return action

    def section(self, title: str) -> None:
        """Start a section of --help for the options that follow."""
        self._section = self.add_argument_group(title)

    def options_of(self, module: str) -> None:
        """Register the options that a module declares, and those of the modules in its `OPTIONS_FROM`.

        They are literals at the top of the module; see `sed.config.literals`.
        """
        for name in option_modules(module):
            declared = literals(name)
            if "SECTION" in declared:
                self.section(declared["SECTION"])
            for option, keywords in declared.get("OPTIONS", {}).items():
                self.option(option, **copy.deepcopy(keywords))

    def format_help(self) -> str:
        if any(_HAS_PROVENANCE.search(action.help or "") for action in self._actions):
            self.epilog = PROVENANCE
        text: str = super().format_help()
        return text

    def option(
        self,
        name: str,
        default: Any,
        help: str,
        *,
        type: Callable[[str], Any] | str | None = None,
        choices: Iterable[Any] | None = None,
        least: float | None = None,
        most: float | None = None,
        in_config: bool = True,
        formerly: str = "",
        **kwargs: Any,
    ) -> None:
        """Register an option in both spellings, `--na-me` and `--na_me`, and as keys of a config.

        A bool (by its default or type) becomes the pair `--name` and `--no-name`.

        Args:
            name: name of the option.
            default: default value, which defines the type unless `type` is given.
            help: text for --help.
            type: function from text to value, or its name in `TYPES`; None: the type of the default (of None: str).
            choices: the allowed values; None: any.
            least: lower bound of a number, inclusive; None: no bound.
            most: upper bound of a number, inclusive; None: no bound.
            in_config: whether the option is part of the config that `settings` returns.
            formerly: an earlier name, which is still accepted; '': none.
            **kwargs: further keywords of `add_argument`.
        """
        if isinstance(type, str):
            type = TYPES[type]
        names = [name, formerly] if formerly else [name]
        flags = [f"--{spelled}" for n in names for spelled in (n.replace("_", "-"), n.replace("-", "_"))]
        flags = list(dict.fromkeys(flags))
        kwargs.update(default=default, help=help, dest=name.replace("-", "_"))
        if type is bool or (isinstance(default, bool) and type is None):
            kwargs["action"] = argparse.BooleanOptionalAction
        else:
            convert = type or (str if default is None else default.__class__)
            kwargs["type"] = bounded(convert, least, most)
            kwargs["choices"] = None if choices is None else list(choices)
            kwargs.setdefault("metavar", None if choices else name.replace("-", "_").upper())
        self._section.add_argument(*flags, **kwargs)
        if not in_config:
            self._not_in_config.add(kwargs["dest"])

    def parse_args(self, args: Sequence[str] | None = None, **kwargs: Any) -> argparse.Namespace:
        path, show = self._config_flags(args)
        if path is not None:
            self._check_config(path)
        if show:
            self._require_nothing()
        self._given = list(sys.argv[1:] if args is None else args)
        parsed: argparse.Namespace = super().parse_args(args, **kwargs)
        if show:
            print(config_text(self.settings(parsed)), end="", flush=True)
            raise SystemExit(0)
        return parsed

    def settings(self, args: argparse.Namespace) -> dict[str, Any]:
        """Return the config of parsed options: all except positional arguments and options without `in_config`."""
        keys = {action.dest for action in self._actions if action.option_strings} - self._not_in_config
        config = {key: value for key, value in vars(args).items() if key in keys}
        return self._resolve(config, args) if self._resolve else config

    def error(self, message: str) -> NoReturn:
        flags = [flag for action in self._actions for flag in action.option_strings]
        # The value of an unknown option counts as a positional argument, which may be refused first.
        given = itertools.takewhile(lambda word: word != "--", self._given)
        words = [word for word in given if re.match(r"--[\w-]+(=|$)", word) and word.split("=")[0] not in flags]
        if words and not message.startswith(("unrecognized arguments", "argument -")):
            message = f"unrecognized arguments: {words[0]}"
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        near = difflib.get_close_matches(unknown[1], flags, n=1) if unknown else []
        if near:
            message += f"; did you mean {near[0]}?"
        _refuse(message)

    def _config_flags(self, args: Sequence[str] | None) -> tuple[str | None, bool]:
        """Return the path of the config, if given, and whether --show-config is given."""
        flags = [flag for a in self._actions if getattr(a, "is_config_file_arg", False) for flag in a.option_strings]
        if not flags:
            return None, False
        finder = _Finder(add_help=False, allow_abbrev=False)
        finder.add_argument(*flags, action="append", dest="paths", default=[])
        finder.add_argument(*SHOW_FLAGS, action="store_true", dest="show")
        found = finder.parse_known_args(args)[0]
        if len(found.paths) > 1:
            self.error(f"two configs given: {' and '.join(found.paths)}: give one, and the rest as options")
        return (found.paths[0] if found.paths else None), found.show

    def _require_nothing(self) -> None:
        """Make every argument optional, so that a config can be shown without the files that a run needs."""
        for action in self._actions:
            action.required = False
            if not action.option_strings:
                action.nargs = "?" if action.nargs is None else "*"

    def defaults(self) -> dict[str, Any]:
        """Return {option: default}."""
        return vars(self.parse_args([]))

    def _check_config(self, path: str) -> None:
        """Raise UserError with file and line for an unknown key, or a value that its option refuses."""
        not_keys = ("config", "show_config", "help")
        options = [action for action in self._actions if action.dest not in not_keys]
        actions = {key: action for action in options for key in self.get_possible_config_keys(action)}
        for key, (value, where) in read_yaml(path).items():
            action = actions.get(key)
            if action is None:
                near = difflib.get_close_matches(key, actions, n=1)
                raise UserError(
                    f"{where}: unknown key '{key}'"
                    + (f" (did you mean '{near[0]}'?)" if near else " (--help lists them)")
                )
            self._check_type(f"{where}: {key}", action, value)

    def _check_type(self, where: str, action: argparse.Action, value: Any) -> None:
        """Raise UserError, which begins with `where`, unless an option accepts a value of a config."""
        if isinstance(action, argparse.BooleanOptionalAction):
            if not isinstance(value, bool):
                raise UserError(f"{where}: '{value}' is not true or false (write one of them)")
            return
        if isinstance(value, bool) and action.type is not str:
            raise UserError(f"{where}: a value is expected, not true or false (--help says which)")
        try:
            self._check_value(action, self._get_value(action, value_text(value)))
        except argparse.ArgumentError as error:
            raise UserError(f"{where}: {error.message} (--help says what is expected)") from None


@functools.cache
def _options_parser(modules: tuple[str, ...]) -> Parser:
    parser = Parser("options")
    for module in modules:
        parser.options_of(module)
    return parser


def check_options(values: Mapping[str, Any], *modules: str) -> None:
    """Check stored values of these modules' options as if they were given in a config; ignore other keys.

    Raises:
        UserError: a value is invalid; the message names the option and what is expected, and the caller adds the file.
    """
    parser = _options_parser(modules)
    for action in parser._actions:
        # Defaults are not checked: some, such as None, are of a type that no text has.
        if action.dest not in values or values[action.dest] == action.default:
            continue
        value = values[action.dest]
        if not isinstance(value, bool | int | float | str | list | tuple) or (
            action.type is str and not isinstance(value, str)
        ):
            raise UserError(f"{action.dest} is {str(value)[:40]!r}, of another type (make the file again)")
        parser._check_type(action.dest, action, value)


def default_options(*modules: str) -> dict[str, Any]:
    """Return {option: default} of these modules' options, including those of their `OPTIONS_FROM`."""
    parser = Parser("defaults")
    for module in modules:
        parser.options_of(module)
    return parser.defaults()
