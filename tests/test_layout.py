"""Layout of the repository: direction of imports, owners of packages and files, and calls between layers of scripts."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SED = ROOT / "sed"
COMMON = {
    "errors",
    "cli",
    "provenance",
    "files",
    "input_files",
    "lifetime",
    "memory",
    "seal",
    "energy",
    "device",
    "parallel",
    "prefetch",
    "progress",
    "compatibility",
    "registry",
    "__version__",
}

# Package -> packages that it may import. Any may also import those of TYPED for annotations only (under TYPE_CHECKING).
ALLOWED = {
    "__main__": {"bin"},
    "bin": {"prediction", "training", "gpu", "evaluation", "checkpoints", "models", "features", "data", "config"},
    "api": {"prediction", "evaluation", "data", "config"},
    "prediction": {"prediction", "evaluation", "checkpoints", "gpu", "models", "features", "data", "config"},
    "training": {"training", "checkpoints", "gpu", "models", "features", "data", "config"},
    "evaluation": {"evaluation", "models", "features", "data", "config"},
    "checkpoints": {"checkpoints", "models", "features", "data", "config"},
    "gpu": {"gpu", "models"},
    "models": {"models", "features"},
    "data": {"data", "features"},
    "features": {"features", "config"},  # defaults of its own options, read without torch
    "config": {"config"},
    **{name: set() for name in COMMON},
    "__init__": {"api"},  # on first use
}
TYPED = {"config"}
# Package of a third party -> the packages of sed/ that may import it.
ONLY = {
    "h5py": {"data"},
    "configargparse": {"config"},
    "psds_eval": {"evaluation"},
    "sed_eval": {"evaluation"},
    "sed_scores_eval": {"evaluation"},
    "dcase_util": {"evaluation"},
}


def package(path: Path) -> str:
    parts = path.relative_to(SED).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield (dotted name, line, whether only for annotations) of every import anywhere in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
        else:
            continue
        for name in names:
            yield name, node.lineno, id(node) in typing


MODULES = sorted(SED.rglob("*.py"))


def test_modules_are_found() -> None:
    assert len(MODULES) > 20
    assert {package(path) for path in MODULES} <= set(ALLOWED), "a new package: say in ALLOWED what it may import"


@pytest.mark.thorough
@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SED)))
def test_imports_run_one_way(path: Path) -> None:
    own = package(path)
    for name, line, typing in imports(path):
        top, *rest = name.split(".")
        if top == "sed":
            allowed = ALLOWED[own] | COMMON | (TYPED if typing else set())
            assert rest[0] in allowed, f"{path}:{line}: sed.{own} may not import sed.{rest[0]}"
        elif top in ONLY:
            assert own in ONLY[top], f"{path}:{line}: only sed/{' '.join(ONLY[top])} imports {top}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SED)))
def test_only_entry_points_read_the_command_line(path: Path) -> None:
    if package(path) in {"bin", "config", "cli", "provenance", "__main__"}:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"argv", "parse_args", "parse_known_args", "ArgumentParser"}, (
                f"{path}:{node.lineno}: only sed/bin and sed/config parse arguments"
            )


@pytest.mark.parametrize("path", sorted((SED / "models").glob("*.py")), ids=lambda path: path.name)
def test_models_are_pure_torch(path: Path) -> None:
    banned = {"logging", "argparse", "pathlib", "os", "io", "json", "yaml", "shutil", "tempfile", "pickle", "h5py"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name, line, typing in imports(path):
        assert typing or name.split(".")[0] not in banned, f"{path}:{line}: models know no files and no logging: {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            called = ast.unparse(function)
            assert called not in {"open", "print", "torch.load", "torch.save", "np.load", "np.save"}, (
                f"{path}:{node.lineno}: models know no files: {called}"
            )


@pytest.mark.thorough
def test_protocols_that_are_checked_have_no_modules_as_members() -> None:
    # From Python 3.12 on, `isinstance` would not find them (see `is_gru_based`), but Python 3.11 would.
    for path in SED.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and "runtime_checkable" in map(ast.unparse, node.decorator_list):
                for member in node.body:
                    module = isinstance(member, ast.AnnAssign) and "nn." in ast.unparse(member.annotation)
                    assert not module, f"{path}: {node.name}"


@pytest.mark.parametrize("word", ["real_sounds", "ratio_2", "fte_long", "_second_seed", "egs/real"])
def test_the_package_knows_no_recipe(word: str) -> None:
    """Code that knows a corpus or a recipe's configs belongs to local/."""
    found = [
        str(path) for path in SED.rglob("*") if path.suffix in {".py", ".html"} and word in path.read_text("utf-8")
    ]
    assert not found, f"'{word}' belongs to local/: {found}"


@pytest.mark.thorough
def test_the_package_does_not_import_local_whose_files_have_docstrings() -> None:
    for path in SED.rglob("*.py"):
        assert not any(name.split(".")[0] == "local" for name, *_ in imports(path)), f"{path}: sed/ imports local/"
    for path in (ROOT / "local").rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path}: no docstring"


MIRRORED = ("checkpoints", "data", "evaluation", "gpu", "models", "training")
"""packages of which every module has a test file of its name; the others' tests may be named by their subject"""


def test_every_module_of_mirrored_packages_has_a_test_file_of_its_name() -> None:
    modules = [path.relative_to(SED) for path in MODULES if package(path) in MIRRORED and path.name != "__init__.py"]
    missing = {str(path) for path in modules if not (ROOT / "tests" / path.with_name(f"test_{path.name}")).exists()}
    assert not missing, f"tests mirror sed/: no tests/.../test_<name>.py of {sorted(missing)}"


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function, with decorators and without its docstring."""
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    docstring = function.body[0] if ast.get_docstring(function) else None
    described = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - first + 1 - described


@pytest.mark.thorough
def test_functions_are_at_most_60_lines() -> None:
    long = {
        f"{path.relative_to(SED)}:{node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of_code(node) > 60
    }
    assert not long, f"over 60 lines: {sorted(long)}"


def test_entry_points_are_short_and_documented() -> None:
    for path in sorted((SED / "bin").glob("[a-z]*.py")):
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{path}: no docstring with its usage"
        assert len(text.splitlines()) < 300, f"{path}: an entry point parses, calls and logs; the rest is for a module"


def tracked() -> list[str]:
    """Return the tracked files, or all files if the folder is no git checkout."""
    done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [name for name in done.stdout.split("\0") if name and os.path.lexists(ROOT / name)]
    return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if ".venv" not in path.parts]


def test_results_are_kept_compactly() -> None:
    """Results are lines of runs.jsonl; indented JSON of every training was as long as all code and text together."""
    files = [ROOT / name for name in tracked() if name.endswith((".json", ".jsonl"))]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 3000


def test_only_the_layers_in_egs_desed_are_symlinks() -> None:
    links = {name: str((ROOT / name).readlink()) for name in tracked() if (ROOT / name).is_symlink()}
    assert links == {f"egs/desed/{name}": f"../../{name}" for name in ("local", "steps", "utils", "conf")}


def test_recipes_are_thin() -> None:
    for recipe in (ROOT / "egs").glob("*/run.sh"):
        assert len(recipe.read_text().splitlines()) < 100, recipe
    assert "../desed/run.sh" in (ROOT / "egs/mini_desed/run.sh").read_text(), "a small recipe calls the real one"


SCRIPTS = [Path(ROOT / name) for name in tracked() if name.endswith(".sh") and not (ROOT / name).is_symlink()]


def test_scripts_are_found() -> None:
    assert {"run.sh", "train.sh", "parse_options.sh", "bootstrap.sh"} <= {path.name for path in SCRIPTS}


def code(path: Path) -> str:
    """Return a script without comments, for searching; what looks like one in a string or a heredoc is removed, too."""
    return "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_call_only_the_layer_below(path: Path) -> None:
    text = code(path)
    layer = path.relative_to(ROOT).parts[0]
    modules = set(re.findall(r"\bsed\.[a-z_]+(?:\.[a-z_]+)*", text))
    if layer == "egs":
        assert "python3 -m" not in text, "a recipe calls only local/ and steps/"
        called = set(re.findall(r"\b(local|steps|utils)/([a-z_]+)\.sh", text))
        allowed_utils = {"parse_options", "bootstrap", "run", "slurm"}  # sourced, or named as a backend
        assert all(folder != "utils" or name in allowed_utils for folder, name in called), called
    elif layer == "local":
        assert all(name.startswith(("sed.bin.", "local.")) for name in re.findall(r"python3 -m ([a-z_.]+)", text)), (
            "a corpus calls entry points and its own files"
        )
    elif layer == "steps":
        assert all(name.startswith("sed.bin.") for name in modules), modules
        assert not re.search(r"\b(local|egs)/", text), "steps know no corpus and no recipe"
        others = {name for name in re.findall(r"python3 -m ([a-z_.]+)", text) if not name.startswith("sed.bin.")}
        assert not others, others
    elif layer == "utils":
        # validate_data_dir.sh keeps the name of Kaldi's script; the check itself is in Python.
        passes_on = {"sed.bin.check_data_dir"} if path.name == "validate_data_dir.sh" else set()
        assert modules == passes_on, "utils know nothing of sed/"
        assert not re.search(r"(?<!\.)\b(local|steps|egs)/[a-z]", text), "utils call nothing of ours"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_start_alike(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# "), "the header comment says what it is for, and is the --help"
    assert os.access(path, os.X_OK), "scripts are executable"
    is_sourced = not re.search(r"^set -euo pipefail$", text, re.MULTILINE)
    sourced = {"path.sh", "cmd.sh", "parse_options.sh", "step.sh", "jobs.sh", "mps.sh", "gpus.sh", "slurm_task.sh"}
    assert is_sourced == (path.name in sourced), "set -euo pipefail, unless it is only sourced"
    if not is_sourced:
        guards = ['[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"', "unset CDPATH"]
        assert all(guard in text for guard in guards), "works as `sh script`, and where CDPATH is exported"
    assert not re.search(r"^\s*eval\b", code(path), re.MULTILINE), "no eval"


def test_links_between_documents_lead_somewhere() -> None:
    anchors = {}
    documents = [ROOT / line for line in tracked() if line.endswith(".md")]
    for document in documents:
        heads = re.findall(r"(?m)^#+ (.*)$", document.read_text())
        anchors[document.resolve()] = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    for document in documents:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", document.read_text()):
            path = (document.parent / target).resolve() if target else document.resolve()
            assert path.exists(), f"{document}: {target}"
            assert not anchor or anchor in anchors[path], f"{document}: {target}#{anchor}"


def test_chapters_begin_with_a_command_and_are_in_the_index() -> None:
    chapters = sorted((ROOT / "docs").glob("*.md"))
    assert chapters
    index = (ROOT / "egs/README.md").read_text()
    for chapter in chapters:
        assert re.match(r"# [^\n]+\n\n```bash\n", chapter.read_text()), chapter
        assert f"(../docs/{chapter.name})" in index, chapter
