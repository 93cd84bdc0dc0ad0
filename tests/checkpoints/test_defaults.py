"""Every option has a value for files that were written before the option existed."""

from __future__ import annotations

import json

from paths import ROOT

from sed.checkpoints.defaults import MODULES, complete_config, model_defaults
from sed.compatibility import ADDED, ALIASES, complete
from sed.config import default_options
from sed.training.run_options import RUNTIME

# {option: default} of the model, the front end and training at commit c6f5938, whose files have the oldest formats that
# are still read: 1 (ONNX: 2)
C6F5938 = json.loads((ROOT / "tests/fixtures/c6f5938/defaults.json").read_text())
MEANINGS = {name for options in ADDED.values() for name in options}
HOW = "say in sed/compatibility.py what a file without it means (ADDED), or what it was called (ALIASES)"


def test_an_added_option_has_a_value_for_earlier_files() -> None:
    now = default_options(*MODULES, "sed.training.build").keys() - {*RUNTIME}
    renamed = {name for name in ALIASES.values() if isinstance(name, str)}
    added, gone = now - C6F5938.keys() - MEANINGS - renamed, C6F5938.keys() - {*RUNTIME} - now - ALIASES.keys()
    assert not added, f"new options: {HOW}"
    assert not gone, f"options that are gone: {HOW}"


def test_files_that_lack_options_keep_the_defaults_of_their_version() -> None:
    completed, then = complete_config({}), complete(C6F5938, {})
    changed = {name for name in model_defaults() if name in then and completed[name] != then[name]}
    assert not changed, f"other defaults: {HOW}"


def test_options_that_a_config_has_are_kept() -> None:
    config = {"gru_units": 8, "mel_bins": 16, "lr": 0.1}
    completed = complete_config(config)
    assert completed.items() >= config.items()
    assert completed.keys() == model_defaults().keys() | {"lr"}
