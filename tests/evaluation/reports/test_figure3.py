import itertools
import json

import pytest

from sed.errors import UserError
from sed.evaluation.reports import figure3

CONFIG = {
    "encoder": "ast", "mel_bins": 128, "patch_freq": 16, "stride_freq": 10, "f_min": 20.0, "f_max": 8000.0,
}  # fmt: skip


def write_band(folder, band, f1):
    path = folder / f"band_{band:02d}" / "validation" / "result.json"
    path.parent.mkdir(parents=True)
    classes = {
        "Speech": {"ground_truth": True, "event_f1": f1},
        "Cat": {"ground_truth": True, "event_f1": None},
        "Absent": {"ground_truth": False, "event_f1": None},
    }
    path.write_text(json.dumps({"set": "validation", "clips": 1, "clips_expected": 1, "per_class": classes}))


def test_the_published_ast_has_twelve_bands():
    edges = figure3.band_edges(CONFIG)
    assert len(edges) == 12
    assert edges[0][0] == pytest.approx(20) and edges[-1][1] < 8000
    assert all(low < high for low, high in edges)
    assert all(a[0] < b[0] < a[1] for a, b in itertools.pairwise(edges))  # patches overlap
    with pytest.raises(UserError, match="no frequency bands"):
        figure3.band_edges({**CONFIG, "encoder": "crnn"})


def test_bands_are_read_normalised_and_written(tmp_path):
    for band, f1 in enumerate((0.1, 0.4, 0.2)):
        write_band(tmp_path / "swapped", band, f1)
    bands = figure3.read_bands(tmp_path / "swapped", 3)
    assert bands == {"Speech": [0.1, 0.4, 0.2], "Cat": [0.0, 0.0, 0.0]}
    assert figure3.activation(bands["Speech"]) == pytest.approx([0.25, 1, 0.5])
    assert figure3.activation(bands["Cat"]) == [0, 0, 0]
    edges = [(20.0, 600.0), (500.0, 2000.0), (1800.0, 8000.0)]
    lines = figure3.table({"swapped": bands}, edges).splitlines()
    assert len(lines) == 1 + 2 * 3  # heads; two classes in three bands
    assert lines[2] == "swapped\tSpeech\t1\t500\t2000\t0.400000\t1.000000"
    figure = figure3.draw(bands, ["Speech", "Cat"], edges, "title")
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == pytest.approx([0.25, 1, 0.5])


def test_a_missing_band_is_named(tmp_path):
    assert figure3.read_bands(tmp_path / "retrained", 2) is None
    write_band(tmp_path / "swapped", 0, 0.3)
    with pytest.raises(UserError, match="band_01"):
        figure3.read_bands(tmp_path / "swapped", 2)


def edit_band(folder, band, edit):
    path = folder / f"band_{band:02d}" / "validation" / "result.json"
    result = json.loads(path.read_text())
    edit(result["per_class"])
    path.write_text(json.dumps(result))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda classes: classes["Speech"].pop("event_f1"), r"band_01.*no EB-F1 of Speech"),
        (lambda classes: classes.pop("Cat"), "not every band was scored on true events of Cat"),
    ],
)
def test_bands_of_other_scorings_are_one_line(tmp_path, edit, message):
    for band in range(2):
        write_band(tmp_path / "swapped", band, 0.3)
    edit_band(tmp_path / "swapped", 1, edit)
    with pytest.raises(UserError, match=message):
        figure3.read_bands(tmp_path / "swapped", 2)
