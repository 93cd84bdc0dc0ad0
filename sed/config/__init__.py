"""Options and configs: the parser of all commands, and the YAML files that it reads."""

from sed.config.literals import literals, option_modules
from sed.config.option_types import numbers, output_file, words
from sed.config.parser import PROVENANCE, Parser, check_options, default_options
from sed.config.yaml_file import load_config, read_yaml, save_config

__all__ = [
    "PROVENANCE",
    "Parser",
    "check_options",
    "default_options",
    "literals",
    "load_config",
    "numbers",
    "option_modules",
    "output_file",
    "read_yaml",
    "save_config",
    "words",
]
