"""utils/Dockerfile: it runs apt-get and utils/bootstrap.sh alone, so that it holds what .ci/run sets up.

Nothing is built here; `docker build -f utils/Dockerfile .` needs a daemon and some minutes.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess

import pytest
from paths import ROOT

DOCKERFILE = ROOT / "utils/Dockerfile"
CI = (ROOT / ".ci/run").read_text()


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, its argument) in order, comments left out and continued lines joined, as Docker does."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def of(kind: str) -> list[str]:
    return [argument for word, argument in instructions() if word == kind]


def commands(argument: str) -> list[list[str]]:
    """Return the commands of a RUN; a pipe, a substitution or a redirection would hide another program."""
    assert not re.search(r"[|;<>`]|\$\(|(?<!&)&(?!&)", argument), argument
    return [shlex.split(command) for command in argument.split("&&")]


def installed(text: str) -> set[str]:
    """Return the packages that `apt-get install` names in a text."""
    named = re.findall(r"apt-get install ([^&;,)}\n]*)", re.sub(r"\\\s*\n", " ", text))
    return {word for words in named for word in words.split() if not word.startswith("-")}


def test_it_runs_only_apt_get_and_bootstrap() -> None:
    run = [command for argument in of("RUN") for command in commands(argument)]
    assert {command[0] for command in run} == {"apt-get", "utils/bootstrap.sh"}


def test_it_has_only_instructions_that_run_nothing_else() -> None:
    assert {word for word, _ in instructions()} == {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "ENTRYPOINT"}
    assert len(of("FROM")) == 1  # another image would bring another environment
    assert not any("--from" in argument for argument in of("COPY"))
    (entry,) = of("ENTRYPOINT")
    assert ast.literal_eval(entry) == ["python3", "-m", "sed"]


def test_it_holds_what_ci_sets_up() -> None:
    (bootstrap,) = [command for argument in of("RUN") for command in commands(argument) if "bootstrap" in command[0]]
    (ci,) = re.findall(r"utils/bootstrap\.sh (--extras \S+)", CI)
    assert shlex.join(bootstrap[1:]) == ci
    assert installed(CI) and installed(CI) <= installed("\n".join(of("RUN")))


def test_it_installs_what_bootstrap_asks_of_the_system() -> None:
    """Check each package that bootstrap.sh names when it is missing; python3.11-venv, say, is python3-venv here."""
    asked = installed((ROOT / "utils/bootstrap.sh").read_text().replace("${version}", "3")) - {"bash"}
    assert {"python3-venv", "python3-dev", "g++", "gcc", "libc6-dev", "util-linux"} <= asked
    assert asked <= installed("\n".join(of("RUN")))


def test_what_bootstrap_reads_is_copied_before_it_runs() -> None:
    order = instructions()
    at = next(number for number, (word, argument) in enumerate(order) if word == "RUN" and "bootstrap" in argument)
    before = {name for word, argument in order[:at] if word == "COPY" for name in argument.split()[:-1]}
    assert before == {"setup.py", "constraints.txt", "utils"}
    assert all((ROOT / name).exists() for name in before)


@pytest.mark.parametrize("name", [".venv", "egs/mini_desed/dump", "egs/mini_desed/exp", "egs/desed/downloads"])
def test_what_git_ignores_is_not_copied(name: str) -> None:
    """An environment of this machine would replace the one that was just made."""
    ignored = (ROOT / "utils/Dockerfile.dockerignore").read_text().splitlines()
    patterns = [re.escape(line).replace(r"\*", "[^/]*") for line in ignored if line and not line.startswith("#")]
    assert any(re.fullmatch(pattern, name) for pattern in patterns)
    assert subprocess.run(["git", "-C", ROOT, "check-ignore", "-q", f"{name}/"]).returncode == 0
