from __future__ import annotations

import pytest

from sed.provenance import without_folders


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
        ("it's in /home/me/x, read", "it's in x, read"),
        ("https://doi.org/10.1/x", "https://doi.org/10.1/x"),
        ("9 of 10, 1/2", "9 of 10, 1/2"),
        ("NVIDIA H100 / 80 GB", "NVIDIA H100 / 80 GB"),
    ],
)
def test_names_stay_and_folders_go(text: str, left: str) -> None:
    assert without_folders(text) == left


def test_in_json() -> None:
    value = {"a": ["/x/y", 1, None, {"b": "/z"}], "c": True}
    assert without_folders(value) == {"a": ["y", 1, None, {"b": "z"}], "c": True}
