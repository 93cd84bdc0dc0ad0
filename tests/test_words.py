"""Mechanical rules of style: how docstrings open, which functions describe their arguments, words that are not used.

CONTRIBUTING.md ("Style") has the rules and the list of words.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED = ("sed/", "local/")  # whose functions open with a verb and describe their arguments
TEXT = {".py", ".sh", ".bats", ".md", ".yaml", ".conf", ".html", ".js", ".toml", ".cff", ".ipynb", ""}
FOREIGN = ("tests/fixtures/",)  # recorded outputs of earlier versions

# Openings of a relative clause or of an ellipsis ("Of the teacher, where there is one."), wrong in any docstring.
CLAUSES = {
    *("Of", "That", "What", "None", "As", "From", "For", "With", "Whether", "Where", "Who", "Whose", "Which", "Why"),
    *("How", "When", "While", "In", "At", "By", "To", "On", "And", "Also", "Is", "Are"),
}
# Openings of a function's docstring that name a result instead of opening with a verb.
NOUNS = {
    *("The", "A", "An", "Its", "This", "These", "Those", "Every", "Each", "All", "Only", "Not", "Two", "One", "Over"),
    *("Mean", "Median", "Factor", "Frame", "Label", "Event", "Weight", "State", "Number", "Random"),
    *("Precision", "Ground", "Raw", "Found", "Everything", "Markdown", "Total", "Fresh", "Mono"),
}
VERBS_IN_S = {"Pass", "Process", "Post-process", "Compress", "Suppress", "Assess", "Access", "Focus", "Express"}
# "steps a second": "per" is dropped.
DROPPED_PER = re.compile(
    r"\b(steps|frames|clips|windows|bytes|samples|lines|times|seconds|minutes|hours|[kMGT]B|ms) "
    r"an? (second|minute|hour|day|night|step|batch|clip|epoch|line|file|GPU|process)\b"
)


def tracked(*patterns: str) -> list[Path]:
    """Return the tracked files that are written by hand in this repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [
        ROOT / name
        for name in listed.split("\0")[:-1]
        if not name.startswith(FOREIGN) and (ROOT / name).is_file() and not (ROOT / name).is_symlink()
    ]


def is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


def opening_error(node: ast.AST, docstring: str, documented: bool) -> str | None:
    """Return what is wrong with how a docstring opens, None if nothing is."""
    word = docstring.split()[0].rstrip(",;:.") if docstring.split() else ""
    if word in CLAUSES:
        return f"opens with '{word}'"
    if word == "Args" and getattr(node, "name", "") == "__init__":
        return None
    if not documented or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_property(node):
        return None
    if word == "Args" and node.name.startswith("__"):  # the class says what it is
        return None
    if not re.fullmatch(r"[A-Z][a-z]+(-[a-z]+)?", word):
        return f"opens with '{word}', not with a verb"
    if word in NOUNS or (word.endswith("s") and word not in VERBS_IN_S):
        return f"opens with '{word}', not with a verb in the imperative"
    return None


def described(section: str) -> set[str]:
    """Return the names that an Args section describes: `name: ...`, at any indentation."""
    return set(re.findall(r"^\s+\**(\w+)(?: \([^)]*\))?:", section, flags=re.MULTILINE))


def returns_something(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return function.returns is not None and ast.unparse(function.returns) not in {"None", "NoReturn", "Never"}


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield public functions and the public methods of public classes; nested functions are not public."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if "overload" not in map(ast.unparse, node.decorator_list):  # the implementation describes them
                yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from public_functions(node.body)


def arguments_error(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    """Return what the docstring of a function with three or more arguments lacks, None if nothing."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names = {argument.arg for argument in arguments} - {"self", "cls"}
    if len(names) < 3:
        return None
    docstring = ast.get_docstring(function) or ""
    _, found, section = docstring.partition("Args:\n")
    section = re.split(r"^\w+:$", section, maxsplit=1, flags=re.MULTILINE)[0]
    if not found:
        return "has no Args"
    if missing := names - described(section):
        return f"does not describe {', '.join(sorted(missing))}"
    if returns_something(function) and not re.search(r"^(Returns|Yields):", docstring, flags=re.MULTILINE):
        return "has no Returns"
    return None


def banned() -> re.Pattern[str]:
    """Return a pattern of the words listed in CONTRIBUTING.md; it finds them within names (`told_rank`) as well."""
    listed = re.search(r"^- Words not used: (.*?)\.(?: |$)", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.M)
    assert listed
    words = [" ".join(word.split()) for word in re.findall(r"`([^`]+)`", listed[1])]
    assert {"told", "anew"} <= set(words)
    either = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)
    return re.compile(rf"(?<![A-Za-z])({either})(?![A-Za-z])", re.IGNORECASE)


def opening_errors() -> Iterator[str]:
    for path in tracked("*.py"):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node)
                if docstring and (error := opening_error(node, docstring, name.startswith(DOCUMENTED))):
                    yield f"{name}:{getattr(node, 'lineno', 1)}: docstring {error}"


def argument_errors() -> Iterator[str]:
    for path in tracked(*(f"{folder}*.py" for folder in DOCUMENTED)):
        for function in public_functions(ast.parse(path.read_text(encoding="utf-8")).body):
            if error := arguments_error(function):
                yield f"{path.relative_to(ROOT)}:{function.lineno}: {function.name} {error}"


def word_errors() -> Iterator[str]:
    pattern = banned()
    for path in tracked():
        if path.suffix not in TEXT or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8")
        if path.name == "CONTRIBUTING.md":  # has the list itself
            text = re.sub(r"^- Words not used: .*?\n(?=- |\n)", "", text, flags=re.DOTALL | re.MULTILINE)
        for found in (*pattern.finditer(text), *DROPPED_PER.finditer(text)):
            yield f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}: '{found[0]}'"


@pytest.mark.thorough
@pytest.mark.parametrize("rule", [opening_errors, argument_errors, word_errors])
def test_the_rules_of_style_are_kept(rule: Callable[[], Iterator[str]]) -> None:
    errors = list(rule())
    assert not errors, f"{len(errors)} times:\n" + "\n".join(errors)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ('def f(a):\n    "Return the mean."', None),
        ('def f(a):\n    "The mean."', "not with a verb"),
        ('def f(a):\n    "Returns the mean."', "imperative"),
        ('def f(a):\n    "(batch, frames) of it."', "not with a verb"),
        ('def f(a):\n    "Of the teacher."', "opens with 'Of'"),
        ('@property\ndef f(a):\n    "The mean."', None),
        ('class C:\n    "That which is."', "opens with 'That'"),
        ('class C:\n    "A mean."', None),
    ],
)
def test_openings_are_judged(source: str, error: str | None) -> None:
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    found = opening_error(node, ast.get_docstring(node) or "", documented=True)
    assert found is None if error is None else found and error in found


@pytest.mark.parametrize(
    ("docstring", "error"),
    [
        ("Mix.", "no Args"),
        ("Mix.\n\n    Args:\n        a: one.\n        b: two.\n        c: three.\n\n    Returns:\n        It.", None),
        ("Mix.\n\n    Args:\n        a: one.\n        b: two.\n\n    Returns:\n        c: It.", "describe c"),
        ("Mix.\n\n    Args:\n        a: one.\n        b: two.\n        c: three.", "no Returns"),
    ],
)
def test_argument_sections_are_judged(docstring: str, error: str | None) -> None:
    function = ast.parse(f'def f(a, b, *, c) -> int:\n    """{docstring}\n    """').body[0]
    assert isinstance(function, ast.FunctionDef)
    found = arguments_error(function)
    assert found is None if error is None else found and error in found
