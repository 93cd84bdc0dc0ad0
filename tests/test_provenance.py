"""The origin that a result records: the commit, and texts without the author's folders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sed import provenance
from sed.provenance import git_hash, without_folders


@pytest.mark.parametrize(
    "text,left",
    [
        ("/home/me/exp/x", "x"),
        ("~/exp/x/", "x"),
        ("../me/exp/x", "x"),
        ("exp/ast_sed", "exp/ast_sed"),
        ("/home/My Name/a b.yaml", "a b.yaml"),
        ("/a/b.pt,/a/c.pt", "b.pt,c.pt"),
        (
            "python3 -m sed.bin.train --config /home/me/c.yaml dump exp/x",
            "python3 -m sed.bin.train --config c.yaml dump exp/x",
        ),
        ("train --config='/home/My Name/c.yaml' --lr 1e-3", "train --config=c.yaml --lr 1e-3"),
        ("run.sh '/data/a b/c'", "run.sh c"),
        # once, all between the first path and the last name was lost: --init=c.pt
        (
            "run.sh --train-args '--init=/a/b --lr=1 --from=/a/c.pt'",
            "run.sh --train-args '--init=b --lr=1 --from=c.pt'",
        ),
        ("run.sh --train-args \"--a='/x y/z' --b=1\"", "run.sh --train-args '--a=z --b=1'"),
        ("it's in /home/me/x, read", "it's in x, read"),
        ("https://doi.org/10.1/x", "https://doi.org/10.1/x"),
        ("9 of 10, 1/2", "9 of 10, 1/2"),
        ("NVIDIA H100 / 80 GB", "NVIDIA H100 / 80 GB"),
    ],
)
def test_names_stay_and_folders_go(text: str, left: str) -> None:
    assert without_folders(text) == left


def test_folders_go_from_all_texts_of_a_json_value() -> None:
    value = {"a": ["/x/y", 1, None, {"b": "/z"}], "c": True}
    assert without_folders(value) == {"a": ["y", 1, None, {"b": "z"}], "c": True}


@pytest.mark.parametrize("name", [b"plain", b"caf\xe9"])  # the latter is invalid UTF-8
def test_the_commit_is_that_of_our_checkout_not_of_one_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    tmp_path /= os.fsdecode(name)

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        made = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], capture_output=True, text=True, check=True
        )
        return made.stdout.strip()

    installed = tmp_path / ".venv/lib/site-packages"
    installed.mkdir(parents=True)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert git_hash() == "unknown"
    git("init", "--quiet")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "--quiet", "-m", "x")
    assert git_hash() == git("rev-parse", "--short=12", "HEAD")
    (tmp_path / "file").write_text("b")
    assert git_hash().endswith("-dirty")
    monkeypatch.setattr(provenance, "ROOT", installed)  # another project's checkout
    assert git_hash() == "unknown"
