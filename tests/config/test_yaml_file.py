"""Configs: flat YAML, strict, with the settings of a base; errors name the file and the line of the offending key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sed.config.yaml_file import canonical, load_config, read_yaml, save_config
from sed.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.yaml").write_text("# the reference\nlr: 1e-3\ngru_units: 64\nsets: [a, b]\n")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_own_settings_replace_those_of_the_base(folder):
    own = write(folder / "sub" / "own.yaml", "base: ../base.yaml\ngru_units: 32\nextra: true\n")
    assert load_config(own) == {"lr": "1e-3", "sets": ["a", "b"], "gru_units": 32, "extra": True}
    assert load_config(write(folder / "same.yaml", "base: base.yaml\n")) == load_config(folder / "base.yaml")
    absolute = write(folder / "absolute.yaml", f"base: {folder / 'base.yaml'}\n")
    assert load_config(absolute) == load_config(folder / "base.yaml")


def test_an_option_is_replaced_in_either_spelling(folder):
    own = write(folder / "own.yaml", "base: base.yaml\ngru-units: 32\n")
    values = {key: setting.value for key, setting in read_yaml(own).items()}
    assert values == {"lr": "1e-3", "sets": ["a", "b"], "gru-units": 32}
    assert load_config(own) == {"lr": "1e-3", "sets": ["a", "b"], "gru_units": 32}


def test_a_setting_knows_the_line_that_it_is_written_on(folder):
    own = write(folder / "own.yaml", "# changes\nbase: base.yaml\n\nextra: 1\n")
    where = {key: setting.where for key, setting in read_yaml(own).items()}
    assert where == {
        "lr": f"{folder}/base.yaml:2",
        "gru_units": f"{folder}/base.yaml:3",
        "sets": f"{folder}/base.yaml:4",
        "extra": f"{own}:4",
    }


def test_files_are_relative_to_the_config_that_names_them(folder):
    for place in (folder, folder / "sub"):
        write(place / "front_end.yaml", "mel_bins: 64\n")
    write(folder / "base.yaml", "features: front_end.yaml\n")
    own = write(folder / "sub" / "own.yaml", "base: ../base.yaml\n")
    assert load_config(own) == {"features": str(folder / "front_end.yaml")}
    other = write(folder / "sub" / "other.yaml", "base: ../base.yaml\nfeatures: front_end.yaml\n")
    assert load_config(other) == {"features": str(folder / "sub" / "front_end.yaml")}
    (folder / "sub" / "front_end.yaml").unlink()
    with pytest.raises(
        UserError,
        match=rf"^{re.escape(str(other))}:2: features: {re.escape(str(folder))}/sub/front_end\.yaml: no such config",
    ):
        read_yaml(other)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nbase: none.yaml\n", 2, r"base: .*none\.yaml: no such config \(its path is relative to this file\)"),
        ("base: sub\n", 1, r"base: .*sub: no such config"),
        ("base: own.yaml\n", 1, r".*own\.yaml is the base of .*own\.yaml and has a base itself \(one level only\)"),
        ("base: 3\n", 1, "base: '3' is not a file name"),
        ("base: [base.yaml, base.yaml]\n", 1, r"base: '\['base\.yaml', 'base\.yaml'\]' is not a file name"),
        ("base:\n", 1, "'base' has no value"),
        ("base:\n  lr: 1\n", 1, "'base' is nested"),
        ("base: base.yaml\nbase: base.yaml\n", 2, "duplicate key 'base', first on line 1"),
        ("a: 1\nb: 2\na: 3\n", 3, r"duplicate key 'a', first on line 1 \(keep one\)"),
        ("a-b: 1\nc: 2\na_b: 3\n", 3, "duplicate key 'a_b', first on line 1"),
        ("{a: 1, a: 2}\n", 1, "duplicate key 'a', first on line 1"),
        ("base: base.yaml\nmodel:\n  gru: 1\n", 2, "'model' is nested"),
        ("a: 1\nb:\n", 2, "'b' has no value"),
        ("a: 1\nb:\n- x\n-\n", 2, "'b' has an item without a value"),
        ("a: 1\nb: [\n", 3, "not YAML"),
        ("- a\n", 1, "a config is flat YAML"),
    ],
)
def test_errors_name_file_and_line(folder, text, line, message):
    own = write(folder / "own.yaml", text)
    with pytest.raises(UserError, match=rf"^{re.escape(str(own))}:{line}: {message}") as error:
        read_yaml(own)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# reference\nbase: other.yaml\n", r":2: .*base\.yaml is the base of .*own\.yaml and has a base itself"),
        ("base: own.yaml\n", r":1: .*base\.yaml is the base of .*own\.yaml and has a base itself"),  # a cycle
        ("a: 1\na: 2\n", ":2: duplicate key 'a', first on line 1"),
        ("a:\n", ":1: 'a' has no value"),
        ("a: 1\nb: {c: 1}\n", ":2: 'b' is nested"),
        ("\ta: 1\n", ":1: not YAML"),
    ],
)
def test_errors_in_a_base_name_the_base_and_its_line(folder, text, message):
    write(folder / "base.yaml", text)
    with pytest.raises(UserError, match=rf"^{re.escape(str(folder))}/base\.yaml{message}"):
        read_yaml(write(folder / "own.yaml", "base: base.yaml\nlr: 1\n"))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such config"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="no such config"):
        read_yaml(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file"):
        read_yaml(tmp_path / "binary.yaml")


def test_equivalent_configs_have_one_canonical_form():
    first = {"lr": "5e-6", "sizes": [2, 4], "epochs": 10, "low": -4.5, "on": True, "name": "NaN", "mean": -4.2677393}
    second = {"sizes": "2,4.0", "lr": 0.000005, "low": "-4.50", "epochs": 10.0, "on": True, "name": "NaN"}
    assert canonical(first) == canonical(second | {"mean": "-4.2677393"})
    assert canonical({"lr": 5e-6}) != canonical({"lr": 5.0000001e-6})
    assert canonical(first) == {
        "epochs": "10",
        "low": "-4.5",
        "lr": "5e-06",
        "mean": "-4.2677393",
        "name": "NaN",
        "on": "true",
        "sizes": "2,4",
    }


def test_a_saved_config_is_read_unchanged(tmp_path):
    config = {"lr": 5e-6, "sizes": [2, 4], "epochs": 10, "on": False, "name": "no", "empty": "", "text": "a: b # c"}
    config["long"] = " ".join(["word"] * 100)  # not wrapped
    save_config(tmp_path / "config.yaml", config | {"none": None, "force": True}, skip=["force"])
    assert load_config(tmp_path / "config.yaml") == config
    assert len((tmp_path / "config.yaml").read_text().splitlines()) == len(config)


def show(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sed.bin.show_config", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.thorough
def test_show_config_prints_what_scripts_compare(folder):
    own = write(folder / "own.yaml", "base: base.yaml\nlr: 0.001\ngru-units: 32.0\ninit_from: ast_sed\n")
    assert show(own).stdout == "gru_units: 32\ninit_from: ast_sed\nlr: 0.001\nsets: a,b\n"
    assert show("--keys", "lr,features,init_from,epochs", own).stdout == (
        f"features: {ROOT}/conf/logmel.yaml\ninit_from: ast_sed\nlr: 0.001\n"
    )
    assert show("--keys", "gru-units", own).stdout == "gru_units: 32\n"
    done = show(write(folder / "bad.yaml", "base: none.yaml\n"))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"show_config: {folder}/bad.yaml:1: base: ") and done.stderr.count("\n") == 1


def test_show_config_reads_without_torch():
    modules = "import sys, sed.bin.show_config; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", modules], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy"} & set(done.stdout.split())


@pytest.mark.thorough
@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system [x]", "!!python/name:os.system", "!!python/none", "!!int x", "!!float x",
        '!!int ""', '!!float ""', "!!bool x", "!!binary x", "!!set {a, b}", "!x y", "&x [*x]", "[[1], [2]]",
        "[" * 1000, "[" * 1000 + "]" * 1000, '"\\0"',
    ],
)  # fmt: skip
def test_invalid_values_are_refused_in_one_line(folder, value):
    for text in (f"lr: {value}\n", f"lr: 1\nseed: {value}\n", f"? {value}\n: 1\n"):
        own = write(folder / "own.yaml", text)
        with pytest.raises(UserError, match=rf"^{re.escape(str(own))}(:\d+)?: .*\(.+\)$") as error:
            read_yaml(own)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("date", ["2001-01-01", "2001-99-99", "!!timestamp x"])
def test_a_value_that_looks_like_a_date_is_text(folder, date):
    assert read_yaml(write(folder / "own.yaml", f"tag: {date}\n"))["tag"].value == date.removeprefix("!!timestamp ")


def test_aliases_of_aliases_do_not_multiply(folder):
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]" for n in range(9)]
    with pytest.raises(UserError, match=r":2: 'a1' is a list of lists"):
        read_yaml(write(folder / "own.yaml", "\n".join(lines)))


def test_a_pipe_is_refused(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(UserError, match="a pipe, not a file"):
        read_yaml(folder / "pipe")
