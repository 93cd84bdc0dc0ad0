"""URBAN-SED, TUT Sound Events 2017 and RealDESED, made up in their own layouts: from the archives to scores."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from faulty_server import serve, tarred, zipped  # noqa: F401
from made_up_corpora import REAL, TUT, URBAN, realdesed, tut_sed, urban_sed
from paths import ROOT
from resolved_configs import parse
from tiny_training import TINY

from sed.data.scores import read_scores
from sed.data.soft_events import read_soft_tsv
from sed.data.tables import Event, read_events_tsv

SECONDS = 2.0
SIZES = {"train": 4, "validate": 2, "test": 3}


def run(script: str, *arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a script of the repository as a user does, without a GPU."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "SED_BACKEND": "local"}
    command = [str(ROOT / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout)


@pytest.fixture
def ast(tmp_path: Path) -> Path:
    """Return a stand-in for the AudioSet checkpoint, which nothing here reads."""
    (tmp_path / "ast.pth").write_bytes(b"x")
    return tmp_path / "ast.pth"


@pytest.mark.thorough
def test_urban_sed_gets_deseds_layout_from_both_kinds_of_annotation(serve, tmp_path, ast):  # noqa: F811
    server = serve(zenodo=urban_sed(clips={"train": 1, "validate": 1, "test": 1}))
    tables = {}
    for kind in ("txt", "jams"):
        done = run("local/urban_sed.sh", "--mirror", server.url, "--ast", ast, "--annotations", kind, tmp_path / kind)
        assert done.returncode == 0, done.stderr
        metadata = tmp_path / kind / "metadata"
        tables[kind] = {
            name: (metadata / name).read_text()
            for name in ("train/audioset_strong.tsv", "validation/validation.tsv", "eval/public.tsv")
        }
        assert (metadata / "labels.txt").read_text().split() == URBAN
    assert tables["txt"] == tables["jams"]
    assert read_events_tsv(metadata / "eval/public.tsv") == {
        "soundscape_test_uniform0": [Event(0.3, 0.8, URBAN[0]), Event(1.4, 2.0, URBAN[1])]
    }
    clip = tmp_path / "jams/audio/eval/public/soundscape_test_uniform0.wav"
    assert clip.resolve() == tmp_path / "jams/urban_sed/audio/test/soundscape_test_uniform0.wav"


@pytest.mark.thorough
def test_tut_sed_gets_deseds_layout_by_its_own_folds(serve, tmp_path, ast):  # noqa: F811
    server = serve(zenodo=tut_sed())
    done = run("local/tut_sed.sh", "--mirror", server.url, "--ast", ast, "--fold", 2, tmp_path / "d")
    assert done.returncode == 0, done.stderr
    metadata = tmp_path / "d" / "metadata"
    assert (metadata / "labels.txt").read_text().splitlines() == TUT
    trained = read_events_tsv(metadata / "train/audioset_strong.tsv")
    tested = read_events_tsv(metadata / "validation/validation.tsv")
    assert {clip[:4] for clip in tested} == {"d001", "d005"}
    assert {clip[:4] for clip in trained} == {f"d{number:03d}" for number in (0, 2, 3, 4, 6, 7)}
    assert tested["d001_0.000_10.000"] == [Event(0.3, 4.6, "car"), Event(8.05, 10.0, "children")]
    assert tested["d001_10.000_11.500"] == [Event(0.0, 1.5, "children")]
    assert len(read_events_tsv(metadata / "eval/public.tsv")) == 6
    assert len(list((tmp_path / "d/audio/train/strong_label_real").glob("*.flac"))) == 12
    other = run("local/tut_sed.sh", "--mirror", server.url, "--ast", ast, "--fold", 0, tmp_path / "d")
    assert other.returncode == 2 and "is laid out with fold 2, not 0" in other.stderr.splitlines()[-1]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("script", "file", "content", "message"),
    [
        ("urban_sed", "annotations/test/soundscape_test_uniform0.txt", b"0\t1\tbird\n", "label 'bird' is none of"),
        ("tut_sed", "evaluation_setup/street_fold1_test.txt", None, "street_fold1_test.txt: no such file"),
        ("realdesed", "train/annotations_raw.csv", b"filename,onset,offset,class\n", "no column 'annotator_id'"),
        ("realdesed", "test/annotations.csv", None, "test: no annotations.csv or annotations_raw.csv"),
    ],
)
def test_another_layout_is_named_in_the_last_line(serve, tmp_path, ast, script, file, content, message):  # noqa: F811
    made = {"urban_sed": lambda: urban_sed(clips={"train": 1, "validate": 1, "test": 1}), "tut_sed": tut_sed}
    records = made.get(script, lambda: realdesed(recordings=1))()
    for files in records.values():
        for archive in files:
            files[archive] = edited(files[archive], file, content)
    done = run(f"local/{script}.sh", "--mirror", serve(zenodo=records).url, "--ast", ast, tmp_path / "d")
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def edited(archive: bytes, file: str, content: bytes | None) -> bytes:
    """Return an archive in which the files whose path ends in `file` have another content, or are missing (None)."""
    import io
    import tarfile
    import zipfile

    if archive[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(archive)) as container:
            files = {name: container.read(name) for name in container.namelist()}
        pack = zipped
    else:
        with tarfile.open(fileobj=io.BytesIO(archive)) as container:
            files = {one.name: container.extractfile(one).read() for one in container}  # type: ignore[union-attr]
        pack = tarred
    wanted = [name for name in files if f"/{name}".endswith(f"/{file}")]
    if not wanted:
        return archive
    for name in wanted:
        files.pop(name)
        if content is not None:
            files[name] = content
    return pack(files)


def tiny_confs(folder: Path, seconds: float) -> Path:
    """Write logmel.yaml and a config of a detector that trains in moments on clips of a length; return the latter.

    The input has 16 frames more than the clip, an arbitrary number, since published encoders have some more, too.
    """
    frames = {"clip_seconds": seconds, "input_frames": round(100 * seconds) + 16}
    tiny = {**TINY, **frames, "epochs": 1, "steps_per_epoch": 2, "loggers": "jsonl"}
    del tiny["batch_sizes"], tiny["pretrained"]
    (folder / "logmel.yaml").write_text(f"clip_seconds: {seconds}\nmel_bins: 16\n")
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**tiny, "features": "logmel.yaml"}))
    return folder / "tiny.yaml"


@pytest.mark.slow
def test_realdesed_is_trained_on_soft_labels_and_scored_by_recordings(serve, tmp_path, ast):  # noqa: F811
    conf, work, server = tiny_confs(tmp_path, 10.0), tmp_path / "work", serve(zenodo=realdesed(recordings=15))
    stage0 = f"local/realdesed.sh --mirror {server.url} --ast {ast} --aggregation weighted --hop 5 --select true"
    done = run(
        "egs/realdesed/run.sh",
        *("--work", work, "--systems", "ast_sed", "--conf", conf, "--ngpu", 0, "--infer-nj", 2),
        *("--feature-conf", tmp_path / "logmel.yaml", "--pretrained", "none", "--nj", 1, "--download", stage0),
        *("--train-args", "--train-sets strong_real --batch-sizes 4 --valid-set synth_valid --select best"),
        *("--test-sets", "public_eval"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work / "data" / "labels.txt").read_text().split() == REAL
    soft = read_soft_tsv(work / "dump" / "strong_real" / "soft.tsv")
    assert {event.share for event in soft["train_5_0.000_10.000"]} == {1.0}, "reviewed"
    disputed, agreed = sorted(soft["train_1_0.000_10.000"])[:2]
    assert (disputed.onset, agreed.onset, agreed.share) == (0.3, 0.8, 1.0)
    assert 2 / 3 < disputed.share < 1, "a2's event begins later; a2 agrees least with the others, so it weighs less"
    folder = work / "exp" / "tiny" / "public_eval"
    windows = ["test_0_0.000_10.000", "test_0_10.000_12.000", "test_0_5.000_12.000"]  # sorted as text
    assert read_scores(folder / "windows.h5").clips[:3] == windows
    result = json.loads((folder / "result.json").read_text())
    assert (result["clips"], result["post_processing"]["median_seconds"]["keychain"]) == (15, 0.36)  # of run.sh
    assert {"psds1_exact_class_mean", "psds_exact", "segment_mpauc"} <= set(result)
    assert "15 of 15" in (work / "RESULTS.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["urban_sed", "tut_sed"])
def test_stages_0_to_5_run_on_a_made_up_copy(serve, tmp_path, ast, recipe):  # noqa: F811
    seconds = SECONDS if recipe == "urban_sed" else 10.0
    tiny_confs(tmp_path, seconds)
    records = urban_sed(clips=SIZES, seconds=SECONDS) if recipe == "urban_sed" else tut_sed()
    done = run(
        f"egs/{recipe}/run.sh",
        *("--work", tmp_path / "work", "--systems", "ast_sed", "--conf", tmp_path / "tiny.yaml", "--ngpu", 0),
        *("--feature-conf", tmp_path / "logmel.yaml", "--pretrained", "none", "--nj", 1),
        *("--train-args", "--train-sets strong_real --batch-sizes 4", "--score-args", "--bootstrap 20 --jobs 1"),
        *("--download", f"local/{recipe}.sh --mirror {serve(zenodo=records).url} --ast {ast}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = (tmp_path / "work" / "RESULTS.md").read_text()
    assert {"urban_sed": "3 of 3", "tut_sed": "6 of 6"}[recipe] in results, "all clips of public_eval are scored"
    for name in ("validation", "public_eval"):
        assert (tmp_path / "work" / "exp" / "tiny" / name / "result.json").exists()
    coverage = (tmp_path / "work" / "data" / "coverage.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in coverage if "\tall\t" in line] == [
        "strong_real",
        "validation",
        "public_eval",
    ]


@pytest.mark.thorough
def test_without_select_realdesed_has_no_set_to_tune_on_that_an_earlier_call_made(serve, tmp_path, ast):  # noqa: F811
    options = ("--mirror", serve(zenodo=realdesed(recordings=15)).url, "--ast", ast)
    tables = tmp_path / "d" / "metadata" / "validation"
    for select in (True, False):
        done = run("local/realdesed.sh", *options, "--select", str(select).lower(), tmp_path / "d")
        assert done.returncode == 0, done.stderr
        assert (tables / "synthetic21_validation" / "soundscapes.tsv").exists() == select
        assert (tables / "validation.tsv").exists()


def test_power_and_hop_of_realdesed_may_be_fractions():
    done = run("local/realdesed.sh", "--alpha", "0.5", "--hop", "2.5")
    assert "wrong arguments" in done.stderr, "the options are accepted; only the folder of downloads is missing"


def test_the_config_of_realdeseds_baseline_resolves_and_has_the_front_end_of_its_features():
    config = parse(ROOT / "egs" / "realdesed" / "conf" / "atst_f.yaml")
    features = parse(ROOT / "conf" / "logmel_atst.yaml")
    assert {key: config[key] for key in features if key in config} == features
    assert (config["encoder"], config["decoder"], config["upsample"]) == ("atst_frame", "none", 1)
    assert (config["lr"], config["encoder_lr"], config["consistency_weight"]) == (4e-5, 4e-5, 0)
