"""The parser: strict configs, --show-config, types, and a --help that needs no torch and shows each option once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sed.config import PROVENANCE, Parser, default_options, numbers, output_file, words
from sed.config.yaml_file import value_text
from sed.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = sorted(path.stem for path in (ROOT / "sed" / "bin").glob("[a-z]*.py"))
TRAINING = ("sed.features.logmel", "sed.models.detector", "sed.training.build")


def test_both_spellings_are_accepted_and_one_is_shown() -> None:
    parser = Parser("test")
    parser.option("mel_bins", 128, "mel filters (P)")
    parser.option("only-scored", True, "only these")
    assert parser.parse_args(["--mel_bins", "64"]).mel_bins == parser.parse_args(["--mel-bins", "64"]).mel_bins == 64
    assert not parser.parse_args(["--no-only_scored"]).only_scored
    text = parser.format_help()
    assert "mel_bins" not in text and "only_scored" not in text
    assert text.count("--mel-bins") == 2 and text.count("--only-scored") == 2  # the usage, and its own line
    assert " ".join(PROVENANCE.split()) in " ".join(text.split())


def test_help_states_a_default_once_and_an_empty_one_as_it_is_written() -> None:
    parser = Parser("Predict.")
    parser.option("labels", "", "names (default: the model's)")
    parser.option("known", [], "allowed labels", type="words")
    parser.option("sets", ["weak", "strong"], "sets", type="words")
    parser.option("tag", "", "suffix; '': none")
    text = parser.format_help()
    assert "(default: the model's)\n" in text and "allowed labels\n" in text and "'': none (default: '')\n" in text
    assert "(default: weak,strong)\n" in text


def test_help_names_the_command_as_the_manual_does_and_no_empty_default(monkeypatch) -> None:
    for started in ("predict_all", "/somewhere/sed/bin/predict_all.py"):
        monkeypatch.setattr("sys.argv", [started])
        parser = Parser("Predict.")
        parser.option("scores", (), "more scores", type="words")
        text = parser.format_help()
        assert text.startswith("usage: ast-sed predict-all [-h]")
        assert "more scores\n" in text  # and no "(default: ())"
    monkeypatch.setattr("sys.argv", ["local/real_sounds/report.py"])
    assert Parser("Report.").format_usage().startswith("usage: report.py ")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--modle x", "unrecognized arguments: --modle x; did you mean --model? (see --help)"),
        ("--zebra", "unrecognized arguments: --zebra (see --help)"),
    ],
)
def test_an_option_that_is_misspelt_is_answered_with_the_one_that_is_near(typed: str, line: str) -> None:
    parser = Parser("Predict.")
    parser.option("model", "", "a model")
    with pytest.raises(UserError) as refused:
        parser.parse_args(typed.split())
    assert str(refused.value) == line


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--modle x 3", "unrecognized arguments: --modle; did you mean --model? (see --help)"),
        ("--modle=x", "unrecognized arguments: --modle=x; did you mean --model? (see --help)"),
        ("--model x -- --modle", "argument input: '--modle' is not a whole number (see --help)"),
        ("--model --x=y x", "argument --model: expected one argument (see --help)"),
    ],
)
def test_a_misspelt_option_is_named_before_its_value_that_was_taken_for_a_file(typed: str, line: str) -> None:
    parser = Parser("Infer.")
    parser.option("model", "", "a model")
    parser.add_argument("input", type=int)
    with pytest.raises(UserError) as refused:
        parser.parse_args(typed.split())
    assert str(refused.value) == line


def test_provenance_letters_are_explained_only_if_used() -> None:
    parser = Parser("test")
    parser.option("rate", 16000, "Hz")
    assert "FDY-SED" not in parser.format_help()


@pytest.mark.thorough
@pytest.mark.parametrize("entry", ENTRIES)
def test_help_needs_no_torch_and_shows_an_option_once(entry: str) -> None:
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try:\n    runpy.run_module('sed.bin.' + sys.argv[0], run_name='__main__')\n"
        "finally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, entry], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert done.stderr.splitlines()[-1] == "False", f"sed.bin.{entry} imports torch before it parses"
    lines = re.findall(r"^  (?:-\w, )?(--.*)", done.stdout, re.MULTILINE)
    shown = [flag for line in lines for flag in re.findall(r"(?:^|, )(--[\w-]+)", line)]
    assert "--help" in shown or entry == "launch"  # whose options are torchrun's
    assert len(shown) == len({flag.replace("_", "-") for flag in shown})


def test_every_option_of_a_config_is_in_help_with_its_default() -> None:
    parser = Parser("test")
    for module in TRAINING:
        parser.options_of(module)
    entries = [" ".join(entry.split()) for entry in re.split(r"^  (?=-)", parser.format_help(), flags=re.MULTILINE)]
    for name, default in default_options(*TRAINING).items():
        flag = f"--{name.replace('_', '-')}"
        shown = value_text(default) if isinstance(default, list) else str(default) or repr(default)
        # an entry of its own: another option may have the same default
        (entry,) = (entry for entry in entries if re.match(rf"{flag}(?![\w-])", entry))
        assert f"(default: {shown})" in entry, entry


def make_parser() -> Parser:
    parser = Parser("test", config=True)
    parser.add_argument("data", type=Path, help="where from")
    parser.add_argument("more", nargs="+", help="what else")
    parser.option("lr", 1e-4, "a rate", least=0)
    parser.option("gru_units", 768, "units", least=1)
    parser.option("sizes", [2, 4], "a list", type=numbers)
    parser.option("sets", ["a"], "a list", type=words)
    parser.option("mixup", True, "a switch")
    parser.option("kind", "x", "a choice", choices=["x", "y"])
    parser.option("out", None, "a file", type=output_file)
    parser.option("force", False, "start over", in_config=False)
    return parser


@pytest.fixture
def configs(tmp_path: Path) -> tuple[Path, Path]:
    base, own = tmp_path / "base.yaml", tmp_path / "own.yaml"
    base.write_text("# reference\nlr: 1e-3\ngru_units: 64\n")
    own.write_text("base: base.yaml\ngru-units: 32\nsets: b,c\n")
    return base, own


def test_options_win_over_the_config_and_it_over_its_base(configs):
    args = make_parser().parse_args(["--config", str(configs[1]), "--sets", "d", "data", "m"])
    assert (args.lr, args.gru_units, args.sets, args.sizes) == (1e-3, 32, ["d"], [2, 4])
    assert not hasattr(args, "base") and not hasattr(args, "show_config")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gru_unit: 3", r"unknown key 'gru_unit' \(did you mean 'gru_units'\?\)"),
        ("config: x.yaml", r"unknown key 'config' \(--help lists them\)"),
        ("show_config: true", r"unknown key 'show_config' \(--help lists them\)"),
        ("help: x", r"unknown key 'help' \(--help lists them\)"),
        ("lr: fast", "lr: .*'fast' is not a number"),
        ("lr: -1", r"lr: .*-1 is out of range \(at least 0\)"),
        ("gru_units: 1.5", "gru_units: .*'1.5' is not a whole number"),
        ("lr: true", "lr: a value is expected, not true or false"),
        ("mixup: 1", "mixup: '1' is not true or false"),
        ("kind: z", "kind: .*invalid choice: 'z'"),
        ("sizes: [2, x]", "sizes: .*'2,x' is not a comma-separated list of whole numbers"),
    ],
)
def test_errors_name_the_file_and_line_of_the_key_in_a_config_and_in_a_base(configs, line, message):
    base, own = configs
    own.write_text(f"base: base.yaml\n\n{line}\n")
    with pytest.raises(UserError, match=f"^{re.escape(str(own))}:3: {message}"):
        make_parser().parse_args(["--config", str(own), "data", "m"])
    base.write_text(f"# reference\n{line}\n")
    own.write_text("base: base.yaml\n")
    with pytest.raises(UserError, match=f"^{re.escape(str(base))}:2: {message}"):
        make_parser().parse_args(["--config", str(own), "data", "m"])


def test_a_replaced_setting_of_a_base_is_not_checked(configs):
    base, own = configs
    base.write_text("gru_units: none\n")
    assert make_parser().parse_args(["--config", str(own), "data", "m"]).gru_units == 32


def test_one_option_in_two_spellings_is_refused(configs):
    configs[1].write_text("gru_units: 1\ngru-units: 2\n")
    with pytest.raises(UserError, match=f"^{re.escape(str(configs[1]))}:2: duplicate key 'gru-units', first on line 1"):
        make_parser().parse_args(["--config", str(configs[1]), "data", "m"])


def test_two_configs_are_refused(configs):
    with pytest.raises(UserError, match="two configs given"):
        make_parser().parse_args(["--config", str(configs[0]), "--conf", str(configs[1]), "data", "m"])


def test_settings_are_the_options_that_a_config_may_have(configs):
    parser = make_parser()
    args = parser.parse_args(["--config", str(configs[1]), "--force", "data", "m"])
    assert parser.settings(args) == {
        "lr": 1e-3,
        "gru_units": 32,
        "sizes": [2, 4],
        "sets": ["b", "c"],
        "mixup": True,
        "kind": "x",
        "out": None,
    }


def test_show_config_prints_a_config_that_resolves_equal(configs, tmp_path, capsys):
    shown = tmp_path / "elsewhere" / "shown.yaml"
    shown.parent.mkdir()
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(["--config", str(configs[1]), "--no-mixup", "--show-config"])
    assert stopped.value.code == 0
    shown.write_text(capsys.readouterr().out)
    assert yaml.safe_load(shown.read_text()) == {
        "lr": 1e-3,
        "gru_units": 32,
        "sizes": [2, 4],
        "sets": ["b", "c"],
        "mixup": False,
        "kind": "x",
    }
    run = ["data", "m"]
    expected = make_parser().parse_args(["--config", str(configs[1]), "--no-mixup", *run])
    again = make_parser().parse_args(["--config", str(shown), *run])
    assert {**vars(again), "config": None} == {**vars(expected), "config": None}


def test_show_config_needs_no_arguments_but_a_run_does(configs):
    with pytest.raises(UserError, match="the following arguments are required: data, more"):
        make_parser().parse_args(["--config", str(configs[1])])
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--show_config", "data"])
    with pytest.raises(UserError, match="unrecognized arguments: --show-config"):
        Parser("no config").parse_args(["--show-config"])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("command", "config"),
    [
        ("train", "conf/crnn.yaml"),
        ("pretrain", "conf/mini/pretrain.yaml"),
        ("dump_features", "conf/mini/logmel.yaml"),
        ("benchmark", "conf/real_sounds/fte_best.yaml"),
    ],
)
def test_commands_show_their_config(command, config, tmp_path):
    def show(*arguments: str) -> str:
        call = [sys.executable, "-m", f"sed.bin.{command}", *arguments, "--show-config"]
        return subprocess.run(call, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    (tmp_path / "my.yaml").write_text(show("--config", config, "--mel-bins", "80"))
    assert show("--config", str(tmp_path / "my.yaml")) == (tmp_path / "my.yaml").read_text()
    shown = yaml.safe_load((tmp_path / "my.yaml").read_text())
    assert shown["mel_bins"] == 80
    assert not {"config", "force", "dump", "exp", "source", "out", "scp", "shard", "base"} & set(shown)


def test_an_earlier_name_of_an_option_is_accepted(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text("crnn_width: 0.5\n")
    for given in (["--crnn-width", "0.5"], ["--crnn_width", "0.5"], ["--cnn-width", "0.5"], ["--config", str(path)]):
        parser = Parser("test", config=True)
        parser.option("cnn_width", 1.0, "factor", formerly="crnn_width")
        assert parser.settings(parser.parse_args(given)) == {"cnn_width": 0.5}
