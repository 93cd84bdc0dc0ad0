#!/usr/bin/env bash
# Write constraints.txt: the installed versions of the packages that setup.py requires, always and for its extras recipe, test
# and lint, and of all packages that these depend on.
#
# usage: utils/pin.sh
#
# Run it in an environment in which the tests pass. After a change of setup.py: tests/run.sh; utils/pin.sh. To update the
# versions: rm -r .venv constraints.txt; touch constraints.txt; tests/run.sh; utils/pin.sh (with an empty file pip takes the
# newest).
# The first line of constraints.txt claims that the versions were tried with every Python that setup.py allows, and no test
# does this. With the oldest and the newest Python, install them and run the tests:
# python3.X -m venv DIR; DIR/bin/pip install -c constraints.txt '.[recipe,test,lint]'; PATH=DIR/bin:${PATH} tests/run.sh
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "${root}/utils/parse_options.sh"
(($# == 0)) || usage

# python3 -c "${pins}" <setup.py>: print the installed versions, `name==version`. Other packages of the environment are
# left out, and so are the CUDA packages, so that the file does not depend on the platform where it is written: torch
# requires exact versions of most of them, and setup.py has the range of cuda-bindings.
pins='
import ast, re, sys
from importlib.metadata import PackageNotFoundError, distribution
from packaging.requirements import Requirement
call = next(n for n in ast.walk(ast.parse(open(sys.argv[1], encoding="utf-8").read()))
            if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "setup")
values = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg in ("install_requires", "extras_require")}
wanted = values["install_requires"] + [r for extra in ("recipe", "test", "lint") for r in values["extras_require"][extra]]
queue, seen, found = [Requirement(text) for text in wanted], set(), {}
while queue:
    needed = queue.pop()
    key = (re.sub(r"[-_.]+", "-", needed.name).lower(), frozenset(needed.extras))
    if key in seen or re.match("nvidia|cuda|triton", key[0]):
        continue
    seen.add(key)
    try:
        package = distribution(needed.name)
    except PackageNotFoundError:
        continue  # an optional package, or one of another platform
    found[key[0]] = package.version.split("+")[0]
    for text in package.requires or []:
        inner = Requirement(text)
        if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *needed.extras)):
            queue.append(inner)
print("\n".join(f"{name}=={found[name]}" for name in sorted(found)))
'
bin=$("${root}/utils/bootstrap.sh" --extras test,lint)
part=${root}/.constraints.part
{
    echo "# What is installed, by utils/pin.sh; setup.py has the allowed versions, and why. Tried on Python 3.11-3.13."
    "${bin}/python3" -c "${pins}" "${root}/setup.py"
} >"${part}"
mv "${part}" "${root}/constraints.txt"
printf '%s\n' "${root}/constraints.txt"
