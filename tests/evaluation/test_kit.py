"""Real system outputs of the development kit (SED_KIT), with the values that its README states for them."""

import json
import subprocess
import sys

import paths
import pytest
from paths import ROOT

KIT = paths.KIT / "scores"
pytestmark = pytest.mark.skipif(not KIT.is_dir(), reason=f"{KIT}: no development kit (set SED_KIT)")


def score(out, *arguments):
    command = [sys.executable, "-m", "sed.bin.score", *map(str, arguments), "--out", str(out), "--bootstrap", "100"]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return json.loads(out.read_text())


@pytest.mark.thorough
def test_the_dcase_2023_baseline_has_the_values_of_the_kit_on_20_clips(tmp_path):
    folder = KIT / "dcase2023_20clips"
    result = score(
        tmp_path / "result.json",
        folder / "scores",
        "--ground-truth", folder / "ground_truth.tsv",
        "--durations", folder / "audio_durations.tsv",
        "--only-scored",
    )  # fmt: skip
    assert result["psds1_exact"] == pytest.approx(0.2697432830, abs=1e-6)
    assert result["psds2_exact"] == pytest.approx(0.5810546313, abs=1e-6)
    assert result["event_f1_macro"] == pytest.approx(0.4469730325, abs=1e-6)
    assert result["psds1"] == pytest.approx(0.251879, abs=1e-5)
    assert result["psds2"] == pytest.approx(0.506957, abs=1e-5)
    assert (result["clips"], result["clips_expected"]) == (20, 692)


@pytest.mark.thorough
def test_the_example_of_psds_eval_has_the_psds_of_the_kit(tmp_path):
    folder = KIT / "psds_eval_example"
    result = score(
        tmp_path / "result.json",
        folder,
        "--ground-truth", folder / "dcase2019t4_gt.csv",
        "--durations", folder / "dcase2019t4_meta.csv",
        *["--dtc", "0.5", "--gtc", "0.5", "--cttc", "0.3", "--alpha-ct", "0", "--alpha-st", "0", "--e-max", "100"],
        "--event-f1-from", "baseline_0.5.csv",
    )  # fmt: skip
    assert result["psds"] == pytest.approx(0.408672, abs=1e-5)
    assert result["event_f1_macro"] is not None


@pytest.mark.slow
def test_bounding_boxes_score_no_less_than_the_median_filter_on_a_trained_systems_scores(tmp_path):
    folder = KIT / "dcase2023_20clips"
    given = [folder / "scores", "--ground-truth", folder / "ground_truth.tsv", "--durations"]
    given += [folder / "audio_durations.tsv", "--only-scored", "--no-report", "--post-processing"]
    filtered = score(tmp_path / "result.json", *given, "median")
    boxes = score(tmp_path / "result.json", *given, "csebbs")
    assert boxes["psds1"] >= filtered["psds1"]
    assert boxes["psds1_exact"] >= filtered["psds1_exact"]
