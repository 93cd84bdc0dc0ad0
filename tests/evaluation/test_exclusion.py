"""Lists of clips that are left out: names, YouTube ids, comments, and the list that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed.errors import UserError
from sed.evaluation.exclusion import listed, read_list

ROOT = Path(__file__).resolve().parents[2]


def test_a_clip_is_named_by_its_file_or_by_its_video(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# comment\n\nfolder/room 1.wav\nabcdefghijk\nY-bcdefghijk_30.000_40.000\nabcdefghijk\nother\n")
    names = read_list(path)
    assert names == ["room 1", "abcdefghijk", "Y-bcdefghijk_30.000_40.000", "other"]
    clips = ["Yabcdefghijk_0.000_10.000", "abcdefghijk_10.000_20.000", "Y-bcdefghijk_30.000_40.000", "room 1", "zzz"]
    clips += ["Y-bcdefghijk_50.000_60.000"]  # another part of a video of which one is listed
    assert listed(names, clips) == {"room 1": [clips[3]], names[1]: clips[:2], names[2]: [clips[2]], "other": []}
    both = ["abcdefghijk", clips[0]]
    assert listed(both, clips[:2]) == {both[0]: [clips[1]], both[1]: [clips[0]]}  # the full name comes first


def test_a_list_of_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="names no clip"):
        read_list(path)


def test_the_shipped_list_is_of_youtube_ids() -> None:
    names = read_list(ROOT / "local" / "desed_in_audioset.txt")
    clips = [f"Y{name}_30.000_40.000" for name in names]
    assert len(names) == 24 and listed(names, clips) == {n: [c] for n, c in zip(names, clips, strict=True)}
