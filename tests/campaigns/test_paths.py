"""Commands with a bad path in each place that takes one: a refusal in one line with a cure, or success.

A sample tries one kind in each place, drawn at random; all kinds are a campaign.
"""

from __future__ import annotations

import gzip
import importlib
import os
import pkgutil
import random
import re
import shutil
import socket
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks import Ended, attacked, emptied
from workplace import PRETRAINING, make_workplace

import sed.bin
from sed.config import Parser

TRAIN = "--device cpu --threads 1"
TABLES = "--ground-truth {dump/synth_valid/events.tsv} --durations {dump/synth_valid/durations.tsv}"
SCORES = "exp/validation/scores.h5"
BENCHMARK = "--repeats 1 --parts data --device cpu --pretrained none --threads 1"
COMMANDS = {
    "ablations": "--reference {tiny.yaml} --out {>ABLATIONS.md} tiny.yaml={results/one/validation/result.json}",
    "average_scores": "{exp/validation/scores.h5} {results/one/validation/scores.h5} {>average.h5}",
    "benchmark": f"--config {{tiny.yaml}} {BENCHMARK} --out {{>numbers.json}}",
    "benchmark_dump": "--clips 100 --files 1 --seconds 0.1 --nj 1 {>>scratch}",
    "benchmark_features": "--config {logmel.yaml} --seconds 0.5 --clips 1 --rounds 1",
    "benchmark_labels": "--classes 3 --clips 4 --scored-clips 2 --frames 10 --scored-frames 10 --jobs 1 {>>scratch}",
    "benchmark_prediction": "--config {tiny.yaml} --model {exp} --cpu-threads 1 --clips 1 --rounds 1 --no-peer"
    " --precisions float32",
    "benchmark_pretraining": f"--config {{logmel.yaml}} {PRETRAINING} --timed 1 {{dump/weak}}",
    "check_data_dir": "--labels {labels.txt} {data}",
    "check_dump": "--config {logmel.yaml} {dump/weak}",
    "choose": "--model {pack} --device cpu --tuned {tuned.json} --labelled {events.tsv} --out {>list.tsv}"
    " --html {>page.html} {audio} {split}",
    "choose_rates": "{runs} {>rates.json}",
    "compare": "--no-seeds --out {>differences.json} --html {>compare.html} {results/one} {results/two}",
    "compare_levels": "{dump/weak} {dump/strong_real}",
    "convert": "--to tsv --out {>t.tsv} {events.tsv}",
    "cut_recordings": "--seconds 2 --nj 1 --clips {metadata.csv} --annotations {annotations.csv} {split} {>>clips}"
    " {>clips.tsv}",
    "download": "--ast {ast.pth} --archives {audio} --parts ast --mirror http://localhost:1 --retries 0 {records.tsv}"
    " {>>downloads}",
    "dump_features": "--config {logmel.yaml} {data/wav.scp} {>feats.1.h5}",
    "evaluate_tagger": "--device cpu --out {>map.json} {ast.pth} {dump/synth_valid}",
    "experiments": "--dump {dump} --exp {exp} --conf-dirs {.} --feature-conf {logmel.yaml} --pretrained {ast.pth} train"
    " {tiny.yaml}",
    "export_onnx": "--tuned {tuned.json} {exp} {>m.onnx}",
    "figure3": "--model {exp} {figure3}",
    "import_model": "--config {published.yaml} --class-map {map.tsv} --labels {labels.txt} --tuned {tuned.json}"
    " {published.pt} {>>imported}",
    "index_audio": "--audio {audio} {recordings.tsv} {downloads}",
    "infer": "--model {exp} --device cpu --export-tsv {>>tsv} {dump/synth_valid} {>scores.h5}",
    "lay_out_set": "--nj 1 --suffix .txt {audio} {label_files} {>>laid} {>laid.tsv}",
    "make_data_dir": "--labels {labels.txt} --durations {durations.tsv} --soft {soft.tsv} --nj 1 {events.tsv} {audio}"
    " {>>made}",
    "merge_scores": f"{{{SCORES}}} {{dump/synth_valid}} {{>scores.h5}}",
    "own_data": "--events {events.tsv} --tags {tags.tsv} --from {pack} --seconds 1 --nj 1 {audio} {>>own}",
    "pack": "--tuned {tuned.json} {exp} {>>packed}",
    "predict": "--model {pack} --device cpu --threads 1 --tuned {tuned.json} --html {>page.html} --out {>e.tsv}"
    " {audio/0.wav}",
    "predict --watch": "--model {pack} --device cpu --threads 1 --watch {audio} --watch-settle 0 --watch-idle 0.2"
    " --watch-state {>state.jsonl} --out {>e.tsv}",
    "pretrain": f"--config {{logmel.yaml}} {PRETRAINING} --force {{dump/weak}} {{>new.pth}}",
    "pseudo_label": "--model {exp} --device cpu {dump/weak} {>>dump/pseudo}",
    "push": "--tuned {tuned.json} {exp} hf://our-lab/kitchen",
    "results": "--reference {tiny.yaml} {results} {>RESULTS.md}",
    "score": f"{TABLES} --labels {{labels.txt}} --audio {{audio}} --features {{dump/synth_valid}}"
    f" --tuned {{tuned.json}} --bootstrap 0 --jobs 1 --out {{>r/result.json}} {{{SCORES}}}",
    "show_config": "{tiny.yaml}",
    "split_soundbank": "{bank} {>>split_bank}",
    "split_soundbank --count": "--count {>count.json} {bank}",
    "stitch_scores": f"{{{SCORES}}} {{recordings}} {{>scores.h5}}",
    "synthesize": "--soundbank {bank} --strong-real 1 --synthetic 0 --weak 0 --unlabelled 0 --validation 0 --pretrain 0"
    " --clip-seconds 1 --nj 1 {>>corpus}",
    "tag": "--config {logmel.yaml} --ast-dim 16 --ast-depth 1 --ast-heads 2 --ast-blocks 1 --patch-freq 8"
    " --stride-freq 8 --input-frames 112 --pretrained {ast.pth} --labels {ast.labels.txt} {audio/0.wav}",
    "train": f"--config {{tiny.yaml}} {TRAIN} --pretrained {{exp}} --features {{logmel.yaml}} {{dump}} {{>>new}}",
    "tune": f"{TABLES} --out {{>tuned.2.json}} {{{SCORES}}}",
}
"""{command: its arguments}; braces mark the paths that are replaced by bad ones, one at a time

{x} is read from the workplace. {>x} is a file and {>>x} a folder that is written: new/x. Both are tried alike.
"""
WITHOUT = {
    "launch": "its options are torchrun's",
    "benchmark_windows": "a measurement of minutes",
    "tune_windows": "likewise",
}
"""commands whose paths are not tried, and why"""
ELSEWHERE = {"out-dir", "features", "scores", "events"}
"""options that are not tried with every command: --features only with score and train, --events only with own_data,
--out-dir and --scores with none"""
SLOT = re.compile(r"\{(>{0,2})([^}]*)\}")


def name(text: str) -> Callable[[Path], str]:
    """Return a kind of path that is this text; nothing is made."""
    return lambda _place: text


def made(file: str, make: Callable[[Path], object], written: str = "") -> Callable[[Path], str]:
    """Return a kind of path that `make` makes as odd/<file>; `written` is the argument, if it is not that path."""

    def kind(place: Path) -> str:
        (place / "odd").mkdir(exist_ok=True)
        make(place / "odd" / file)
        return written or f"odd/{file}"

    return kind


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name has room for 107 bytes
        server.bind(path.name)
        os.chdir(here)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 36)


def _chain(path: Path) -> None:
    for number in range(50):  # Linux follows 40 links at most
        Path(f"{path}{number or ''}").symlink_to(f"{path.name}{number + 1}")


def _device(name: str) -> Callable[[Path], object]:
    """Return what makes a node of a device: a command that replaces it must not take the machine's own away."""

    def make(path: Path) -> None:
        real = Path("/dev") / name
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, real.stat().st_rdev)
        except PermissionError:
            if os.access("/dev", os.W_OK):
                pytest.skip("devices cannot be made here, and those of /dev could be lost")
            path.symlink_to(real)

    return make


def _full(path: Path) -> None:
    (path / "below" / "it").mkdir(parents=True)
    (path / "notes.txt").write_text("notes")


KINDS: dict[str, Callable[[Path], str]] = {
    "empty": name(""),
    "blank": name(" "),
    "missing": name("nowhere"),
    "missing below": name("nowhere/below/it"),
    "trailing slash": name("nowhere/"),
    "below a file": made("file", Path.touch, "odd/file/below"),
    "file with a slash": made("file", lambda path: path.write_text("text"), "odd/file/"),
    "folder": made("folder", _full),
    "empty folder": made("hollow", Path.mkdir),
    "here": name("."),
    "above": name(".."),
    "empty file": made("nothing", Path.touch),
    "text": made("words", lambda path: path.write_text("<!DOCTYPE html>\n<p>404\n")),
    "noise": made("noise", lambda path: path.write_bytes(zlib.compress(bytes(range(256)) * 9))),
    "zeros": made("zeros", lambda path: path.write_bytes(bytes(5000))),
    "latin-1": made("latin", lambda path: path.write_bytes(b"k\xfcche\tw\xe4sche\n")),
    "utf-16": made("wide", lambda path: path.write_text("filename\tonset\n", "utf-16")),
    "gzip": made("packed.gz", lambda path: path.write_bytes(gzip.compress(b"text"))),
    "one long line": made("line", lambda path: path.write_bytes(b"x" * 3_000_000)),
    "sparse": made("sparse", _sparse),
    "pipe": made("pipe", os.mkfifo),
    "socket": made("socket", _socket),
    "dangling link": made("dangling", lambda path: path.symlink_to("nowhere")),
    "loop": made("loop", lambda path: path.symlink_to("loop")),
    "below a loop": made("loop", lambda path: path.symlink_to("loop"), "odd/loop/below"),
    "chain of links": made("chain", _chain),
    "link to a pipe": made("to_pipe", lambda path: (os.mkfifo(path.with_name("p")), path.symlink_to("p"))),
    "long name": name("n" * 300),
    "long path": name("deep/" * 1000),
    "newline": name("now\nhere"),
    "tab": name("now\there"),
    "no text": name(os.fsdecode(b"nowhere\xff\xfe")),
    "right to left": name("\u202enowhere\u0301\U0001f600"),
    "shell": name("nowhere$(touch owned); `id` 'x"),
    "percent": name("nowhere%s%d{0}{x}"),
    "glob": name("nowhere[0-9]*?"),
    "tilde": name("~nowhere/x"),
    "address": name("http://localhost:1/x"),
    "file address": name("file:///etc/passwd"),
    "dash": name("./-nowhere"),
    "zero": made("zero", _device("zero")),
    "full": made("full", _device("full")),
    "null": made("null", _device("null")),
    "terminal": name("/dev/tty"),
    "standard input": name("/dev/stdin"),
    "memory": name("/proc/self/mem"),
    "proc": name("/proc/nowhere"),
    "sound": made("sound.wav", lambda path: shutil.copy(path.parents[1] / "audio" / "0.wav", path)),
    "checkpoint": made("model.pt", lambda path: shutil.copy(path.parents[1] / "exp" / "final.pt", path)),
    "scores": made("scores.h5", lambda path: shutil.copy(path.parents[1] / "exp/validation/scores.h5", path)),
    "yaml": made("model.yaml", lambda path: shutil.copy(path.parents[1] / "model.yaml", path)),
    "json": made("tuned.json", lambda path: shutil.copy(path.parents[1] / "tuned.json", path)),
    "table": made("events.tsv", lambda path: shutil.copy(path.parents[1] / "events.tsv", path)),
}
NAMED = {"missing", "missing below", "long name", "newline", "tab", "no text", "shell", "percent", "tilde", "address"}
"""kinds of which the line has to hold the first word"""
NOTHING = {*NAMED, "below a file", "dangling link", "loop", "below a loop", "pipe", "socket", "zero", "long path"}
"""kinds that no command may read"""
UNWRITABLE = {"below a file", "below a loop", "pipe", "socket", "zero", "full", "null", "long name", "proc"}
"""kinds where nothing can be written"""


def filled(command: str, place: Path, slot: int, kind: str) -> list[str]:
    """Return the command line, with a bad path in one of its slots."""
    words, count = [], -1
    for word in COMMANDS[command].split():
        if found := SLOT.search(word):
            count += 1
            value = KINDS[kind](place) if count == slot else f"new/{found[2]}" if found[1] else found[2]
            word = SLOT.sub(lambda _, value=value: value, word)
        words.append(word)
    return words


def slots(command: str) -> list[str]:
    """Return the places of a command line that take a path."""
    return [found[1] + found[2] for word in COMMANDS[command].split() if (found := SLOT.search(word))]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ["HF_ENDPOINT"] = "http://localhost:1"  # no hub
    return make_workplace(tmp_path_factory.mktemp("workplace"))


def ended(command: str, scratch: Path, workplace: Path, slot: int, kind: str) -> Ended:
    """Run a command with a bad path in one of its slots, in a copy of the workplace."""
    place = emptied(scratch / "place", lambda folder: shutil.copytree(workplace, folder, dirs_exist_ok=True))
    return attacked(command.split()[0], filled(command, place, slot, kind), place=place, scratch=scratch)


def kinds_of(command: str, slot: int, count: int) -> list[str]:
    """Return the kinds that are tried in a slot; a sample is drawn for each slot, the same in every run."""
    kinds = [kind for kind in KINDS if kind != "standard input" or not slots(command)[slot].startswith(">")]
    if command in ("benchmark_dump", "benchmark_labels"):  # where they succeed they take half a minute
        kinds = [kind for kind in kinds if kind in ("empty", "folder", "below a file", "loop", "pipe", "full")]
    if slots(command)[slot] == "tiny.yaml" and command.startswith("benchmark"):
        kinds.remove("empty file")  # an empty config is that of the paper's size: too slow
    if count >= len(kinds):
        return kinds
    return random.Random(f"{command} {slot}").sample(kinds, count)


def is_read(command: str, slot: int) -> bool:
    """Return whether a command itself reads the path in this slot."""
    # experiments passes paths on to other commands, and only recipes read train's --features
    place = slots(command)[slot]
    by_others = command == "experiments" or (command, place) == ("train", "logmel.yaml")
    return not by_others and not place.startswith(">")


def test_every_command_is_tried() -> None:
    assert {module.name for module in pkgutil.iter_modules(sed.bin.__path__)} == {
        *(command.split()[0] for command in COMMANDS),
        *WITHOUT,
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_path_type_is_tried(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsers: list[Parser] = []
    module = importlib.import_module(f"sed.bin.{command.split()[0]}")

    def keep(self: Parser, *_args: object, **_how: object) -> None:
        parsers.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Parser, "parse_args", keep)
    with pytest.raises(SystemExit):
        module.main()
    words = " ".join(line for other, line in COMMANDS.items() if other.split()[0] == command.split()[0])
    words = words.replace("_", "-")
    for action in parsers[0]._actions:
        names = {flag.lstrip("-").replace("_", "-") for flag in action.option_strings}
        if names and getattr(action.type, "__name__", "") in ("given_path", "output_file", "config_file"):
            assert names & ELSEWHERE or any(f"--{name} {{" in words for name in names), f"{command}: try {names}"


@pytest.mark.thorough
@pytest.mark.parametrize("count", [1, pytest.param(99, marks=[pytest.mark.campaign, pytest.mark.slow])])
@pytest.mark.parametrize("command", COMMANDS)
def test_bad_paths_end_in_a_line(workplace: Path, tmp_path: Path, command: str, count: int) -> None:
    if command == "export_onnx":
        pytest.importorskip("onnx")
    faults = []
    for slot in range(len(slots(command))):
        for kind in kinds_of(command, slot, count):
            found = ended(command, tmp_path, workplace, slot, kind)
            named = re.search(r"[a-z]{3,}", KINDS[kind](tmp_path / "place") if kind in NAMED else "")
            if fault := found.fault(named=named[0] if named else ""):
                faults.append(f"{slots(command)[slot]}: {kind}: {fault}: {found.line}")
            elif found.code == 0 and kind in NOTHING and is_read(command, slot):
                faults.append(f"{slots(command)[slot]}: {kind}: taken for something")
            elif found.code == 0 and kind in UNWRITABLE and slots(command)[slot].startswith(">"):
                faults.append(f"{slots(command)[slot]}: {kind}: exit 0, and nothing can be written there")
    assert not faults, "\n".join(faults)
