"""Entry point of all commands: `ast-sed COMMAND ...`, or `python3 -m sed COMMAND ...`.

Each command is a module of `sed.bin`: `ast-sed export-onnx` is the same as `python3 -m sed.bin.export_onnx`.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import NoReturn

from sed import __version__
from sed.cli import entry

GROUPS = {
    "use a model": {
        "predict": "detect events in recordings, folders or a live stream",
        "choose": "choose which recordings to label next",
        "tag": "tag recordings with a published AST's AudioSet classes",
        "import-model": "import a published detector as a packed model, without training",
        "pack": "pack a trained model as one folder to share",
        "push": "push a trained model to the Hugging Face hub",
        "export-onnx": "export a trained model as one ONNX file",
    },
    "train": {
        "train": "train a detector",
        "pretrain": "pre-train an encoder as a tagger",
        "infer": "compute posteriors of a dumped set",
        "tune": "tune post-processing on one set, for use on others",
        "tune-windows": "tune the windows with which a model predicts on long recordings",
        "pseudo-label": "label clips with a trained model",
        "launch": "start a training or pre-training on several GPUs",
    },
    "score and compare": {
        "score": "score any system's output: F1, PSDS, intervals",
        "compare": "test the difference of systems, paired by clip",
        "results": "write RESULTS.md of a folder of experiments",
        "ablations": "write the table of an ablation",
        "evaluate-tagger": "measure a tagger's average precision",
        "average-scores": "average the scores of several models",
        "merge-scores": "join the scores of a set that was inferred in parts",
        "stitch-scores": "average the scores of overlapping windows to those of recordings",
        "choose-rates": "choose learning rates by their PSDS1 on a tuning split",
        "figure3": "draw figure 3 of the AST-SED paper",
    },
    "prepare data": {
        "convert": "convert label files between tools",
        "own-data": "lay out your own recordings and labels for training",
        "download": "download a corpus",
        "lay-out-set": "lay out recordings with one label file each as a set",
        "index-audio": "link the real recordings of a corpus, or fetch them from YouTube",
        "make-data-dir": "make a data directory from a table and recordings",
        "check-data-dir": "check data directories",
        "dump-features": "compute the features of a data directory",
        "check-dump": "check computed features, and remove damaged ones",
        "compare-levels": "warn where sets differ in level",
        "cut-recordings": "cut long annotated recordings into clips",
        "synthesize": "mix a small corpus from synthetic sounds or a soundbank",
        "split-soundbank": "split a soundbank's training sources for tuning",
    },
    "look inside": {
        "show-config": "print a config with the settings of its base",
        "experiments": "list a recipe's experiments",
        "benchmark": "measure training speed on this machine",
        "benchmark-dump": "measure the speed of feature extraction",
        "benchmark-labels": "measure memory and time of a large label set",
        "benchmark-features": "compare the front end with torchaudio's",
        "benchmark-prediction": "measure prediction speed",
        "benchmark-pretraining": "time a pre-training, part by part",
        "benchmark-windows": "measure F1 on long recordings with different windows",
    },
}
COMMANDS = [name for commands in GROUPS.values() for name in commands]


def main() -> None:
    """Run the command that the first argument names."""
    arguments = sys.argv[1:]
    name = arguments[0].replace("_", "-") if arguments else "--help"
    if name in ("--help", "-h", "help"):
        _print(overview(), 0 if arguments else 2)
    if name in ("--version", "-V"):
        _print(f"ast-sed {__version__}", 0)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        fail(f"no command '{arguments[0]}'" + (f" (did you mean '{near[0]}'?)" if near else " (ast-sed --help)"))
    module = name.replace("-", "_")
    sys.argv = [module, *arguments[1:]]
    try:
        run = importlib.import_module(f"sed.bin.{module}").main
        run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in ("", "sed"):
            raise
        fail(
            f"the package {missing} is missing (utils/bootstrap.sh makes an environment with all that recipes need; "
            "it prints the folder to put on PATH)"
        )


def _print(text: str, code: int) -> NoReturn:
    """Print and exit as the commands do, also if standard output is closed or full."""

    @entry
    def show() -> int:
        print(text)
        return code

    show()
    raise AssertionError("`show` exits")


def overview() -> str:
    """Return the commands by group, each with what it does."""
    lines = ["usage: ast-sed COMMAND [options]   (ast-sed COMMAND --help describes one)"]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"] + [f"  {name:<22}{what}" for name, what in commands.items()]
    return "\n".join([*lines, "", "  --version             print the version"])


def fail(message: str) -> NoReturn:
    """Print one line and exit with 2."""
    print(f"ast-sed: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
