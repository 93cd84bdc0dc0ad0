"""Options and configs: every entry point's parser, and the YAML files that it reads."""

from sed.config.parser import Parser, numbers, output_file, words
from sed.config.yaml_file import load_config, read_yaml, save_config

__all__ = ["Parser", "load_config", "numbers", "output_file", "read_yaml", "save_config", "words"]
