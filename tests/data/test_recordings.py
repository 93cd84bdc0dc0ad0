from pathlib import Path

from sed.data.recordings import FOREIGN, SUFFIXES, find_recordings


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in find_recordings(folder).paths]


def test_links_are_followed_once_and_hidden_files_counted(tmp_path):
    inside, outside = tmp_path / "rec", tmp_path / "else"
    (inside / "deep").mkdir(parents=True)
    outside.mkdir()
    for path in (
        inside / "b.WAV",
        inside / "._b.WAV",
        inside / "deep" / "a.flac",
        outside / "c.m4a",
        outside / "c.txt",
    ):
        path.write_bytes(b"x")
    (inside / "site").symlink_to(outside)
    (outside / "back").symlink_to(inside)  # a circle
    (inside / "gone.wav").symlink_to(tmp_path / "nowhere")
    (inside / ".hidden").mkdir()
    (inside / ".hidden" / "d.wav").write_bytes(b"x")
    assert names(inside) == ["b.WAV", "deep/a.flac", "site/c.m4a"]
    assert find_recordings(inside).hidden == 1


def test_a_folder_is_no_recording(tmp_path):
    (tmp_path / "a.wav").mkdir()
    assert find_recordings(tmp_path).paths == []


def test_suffixes_are_lower_case_and_once_each():
    assert len(set(SUFFIXES)) == len(SUFFIXES) and all(s == s.lower() and s[0] == "." for s in SUFFIXES)
    assert set(FOREIGN) < set(SUFFIXES)
