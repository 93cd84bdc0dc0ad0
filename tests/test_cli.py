"""Entry points: expected failures end in one line and an exit code; what is printed and logged survives odd names."""

from __future__ import annotations

import ast
import errno
import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_model import call, write_sounds

from sed.cli import entry, setup_logging
from sed.errors import RunError, UserError


def outcome(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Return exit code and lines on standard error of an entry point that raises `error`."""

    @entry
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UserError("a.tsv:3: broken\n(mend it)"), 2, "a.tsv:3: broken (mend it)"),
        (UserError("a  b\t.wav: broken\r\n  (mend it)\n"), 2, "a  b\t.wav: broken (mend it)"),
        (RunError("the network is gone"), 1, "the network is gone"),
        (MemoryError(), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError("Unable to synchronously create file (errno = 28)"),
            2,
            "no space",
        ),
    ],
)
def test_a_failure_is_one_line(error, code, text, capsys):
    found, line = outcome(error, capsys)
    assert found == code and text in line and line.count("\n") == 1


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_errno_is_one_line_with_its_file(number, capsys):
    error = OSError(number, os.strerror(number), "some/file")
    if isinstance(error, BrokenPipeError):  # the reader of our output has ended: no failure
        return
    found, line = outcome(error, capsys)
    assert found in (1, 2) and "some/file: " in line and line.count("\n") == 1


def test_torch_s_lack_of_memory_is_one_line(capsys):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation")
    assert outcome(error, capsys) == outcome(MemoryError(), capsys)
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)  # an EiB: no machine has it
    assert outcome(caught.value, capsys) == outcome(MemoryError(), capsys)


def test_a_bug_keeps_its_traceback():
    @entry
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_file_names_that_are_not_utf8_are_escaped_in_messages_on_any_terminal(encoding, tmp_path):
    script = tmp_path / "x.py"
    script.write_text(
        "import os\nfrom sed.cli import entry, setup_logging\nfrom sed.errors import UserError\n"
        "@entry\ndef main():\n"
        "    name = os.fsdecode(b'k\\xfcche.wav')\n"
        "    setup_logging().info('reading %s, caf\u00e9', name)\n"
        "    raise UserError(f'{name}: broken, caf\u00e9')\n"
        "main()\n",
        encoding="utf-8",
    )
    root = str(Path(__file__).parents[1])
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONPATH": root}
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, check=False)
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"Logging error" not in done.stderr
    assert done.stderr.count(b"\\udcfcche.wav") == 2


@pytest.mark.thorough
def test_a_label_that_the_output_s_encoding_lacks_is_one_line(tmp_path):
    (tmp_path / "a.txt").write_text("0.5\t1.0\tBä吠\n", encoding="utf-8")
    command = [sys.executable, "-m", "sed.bin.convert", "a.txt", "--to", "tsv"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    texts = []
    for encoding, code in (("iso8859-15", 2), ("utf-8", 0)):
        done = subprocess.run(
            command, cwd=tmp_path, env=env | {"PYTHONIOENCODING": encoding}, capture_output=True, check=False
        )
        assert done.returncode == code and b"Traceback" not in done.stderr
        texts.append((done.stdout.decode(), done.stderr.decode()))
    assert texts[0][1] == "convert: standard output, in iso8859-15, lacks \\u5420 (set PYTHONIOENCODING=utf-8)\n"
    assert "Bä吠" in texts[1][0]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("clips", "shard", "reason"),
    [
        ("wav.scp", "plain/below.h5", "plain: exists already and is no folder"),
        ("wav.scp", "loop/below.h5", "a link that leads to itself"),
        ("wav.scp", "x" * 300 + ".h5", "name too long"),
        ("loop", "feats.h5", "loop: a link that leads to itself"),
    ],
)
def test_impossible_paths_are_refused_in_a_line(clips, shard, reason, tmp_path):
    write_sounds(tmp_path / "a.wav", 1, 16000)
    (tmp_path / "wav.scp").write_text("a a.wav\n")
    (tmp_path / "plain").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    command = [sys.executable, "-m", "sed.bin.dump_features", clips, shard]
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and reason in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_logging_goes_to_standard_error_and_to_the_file(tmp_path, capsys):
    setup_logging(tmp_path / "x.log").info("here")
    assert capsys.readouterr().err == (tmp_path / "x.log").read_text()
    assert (tmp_path / "x.log").read_text().endswith(" here\n")
    setup_logging()  # later tests do not log into the file


def test_a_package_that_is_not_installed_is_named_with_what_installs_it(monkeypatch, capsys):
    @entry
    def main() -> None:
        import no_such_package.part  # noqa: F401

    monkeypatch.setattr(sys, "argv", ["score"])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 2
    line = "score: the package no_such_package is missing (pip install '.[recipe]', or run utils/bootstrap.sh)\n"
    assert capsys.readouterr().err == line


def test_a_loop_of_links_is_one_line_also_where_pathlib_finds_it(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    done = run_main(tmp_path, "from pathlib import Path; Path('loop').resolve()")
    # from Python 3.13 on it is no error
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
    assert done.returncode == 0 or done.stderr.endswith("loop: a link that leads to itself (remove it)\n")


def test_a_message_is_one_line_of_the_log(tmp_path):
    done = run_main(tmp_path, "from sed.cli import setup_logging; setup_logging().info('%s: 4 clips', 'now\\nhere')")
    assert done.returncode == 0 and done.stderr.endswith(" now\\nhere: 4 clips\n") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_failure(tmp_path, closed):
    script = tmp_path / "x.py"
    script.write_text(f"""
import sys
from sed.cli import entry, setup_logging
from sed.data.containers.silence import silent
from sed.progress import Progress
def main():
    setup_logging().info("text")
    print("text")
    Progress(3, "clip").advance()
    with open({str(tmp_path / "out")!r}, "w") as file, silent():
        file.write("text")
        file.flush()
entry(main)()
""")
    done = subprocess.run(
        ["bash", "-c", f'"$0" "$1" {closed}', sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert (tmp_path / "out").read_text() == "text"


def test_file_names_that_are_not_utf8_are_printed_unchanged(tmp_path):
    done = run_main(tmp_path, "import os; print(os.fsdecode(b'k\\xfcche'))", text=False)
    assert done.stdout == b"k\xfcche\n"


def run_main(folder, code, text=True):
    """Run code as an entry point."""
    (folder / "x.py").write_text(f"from sed.cli import entry\n@entry\ndef main():\n    {code}\nmain()\n")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, "x.py"], cwd=folder, env=env, capture_output=True, text=text, check=False, timeout=60
    )


ROOT = Path(__file__).parents[1]


@pytest.mark.thorough
@pytest.mark.parametrize("path", sorted((ROOT / "sed").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_refusals_say_what_to_do(path):
    """Remedies are in parentheses: each `UserError` has some, unless it passes on another error's message."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError" and node.args):
            continue
        message = node.args[0]
        words = "".join(c.value for c in ast.walk(message) if isinstance(c, ast.Constant) and isinstance(c.value, str))
        passed_on = not isinstance(message, ast.JoinedStr | ast.Constant) or words.strip(": ") == ""
        assert passed_on or "(" in words, f"{path}:{node.lineno}: {ast.unparse(message)}"


@pytest.mark.parametrize(
    "command",
    [
        "predict --model m --out-dir= a.wav",
        "predict --model m --watch=",
        "infer --model m --export-tsv= dump/x scores.h5",
        "pack m ''",
        "import_model m.pt ''",
        "synthesize ''",
    ],
)
def test_an_empty_name_of_a_folder_is_not_the_current_folder(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, *arguments = shlex.split(command)
    assert call(importlib.import_module(f"sed.bin.{module}"), *arguments) == 2
    assert "'': a path is expected" in capsys.readouterr().err and not list(tmp_path.iterdir())
