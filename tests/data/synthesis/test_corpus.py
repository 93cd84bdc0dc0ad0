import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from tiny_model import call

from sed.bin import synthesize
from sed.data.synthesis.corpus import PLANS, blocks, make_block, make_tables, missing
from sed.data.synthesis.procedural_bank import ProceduralBank
from sed.data.tables import read_events_tsv, read_tags_tsv, tsv_rows

SIZES = {"strong_real": 3, "weak": 2, "unlabelled": 2, "validation": 22, "pretrain": 4}


@pytest.fixture(scope="module")
def bank():
    return ProceduralBank(seed=0)


def make(out, bank, todo=None, suffix=".wav", threads=1):
    todo = blocks(SIZES) if todo is None else todo
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda b: make_block(b, out, bank, seed=7, seconds=2.0, suffix=suffix), todo))


def digest(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes().replace(bytes(folder), b"")).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.thorough
def test_layout_is_deseds_and_a_killed_run_is_resumed(tmp_path, bank):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    make(whole, bank, threads=3)
    make(killed, bank, blocks(SIZES)[:3])
    (killed / PLANS["validation"].folder).mkdir(parents=True)
    (killed / PLANS["validation"].folder / "Yvalid000000_0.000_2.000.wav").write_bytes(b"half")
    left = list(missing(blocks(SIZES), killed))
    assert len(left) == len(blocks(SIZES)) - 3
    make(killed, bank, left)
    for out in (whole, killed):
        make_tables(out, SIZES, bank.labels, seconds=dict.fromkeys(SIZES, 2.0), suffix=".wav")
    assert digest(whole) == digest(killed)

    strong = read_events_tsv(whole / "metadata/validation/validation.tsv")
    files = sorted((whole / "audio/validation/validation").iterdir())
    assert sorted(strong) == [file.name.removesuffix(".wav") for file in files] and len(files) == 22
    info = soundfile.info(files[0])
    assert (info.samplerate, info.channels, info.subtype, info.duration) == (16000, 1, "PCM_16", 2.0)
    assert len(read_tags_tsv(whole / "metadata/train/weak.tsv")) == 2
    assert len(list(tsv_rows(whole / "metadata/train/unlabel_in_domain.tsv", ["filename"]))) == 2
    isolated = read_events_tsv(whole / "pretrain/events.tsv")
    assert [len({event.label for event in events}) for events in isolated.values()] == [1] * 4
    assert (whole / "metadata/labels.txt").read_text().split() == bank.labels


def test_sets_differ(tmp_path, bank):
    make(tmp_path, bank)
    folders = [tmp_path / PLANS[name].folder for name in ("strong_real", "weak", "validation")]
    first = [sorted(folder.iterdir())[0].read_bytes() for folder in folders]
    assert len(set(first)) == 3


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("place", ["audio/train/weak/Yreal_1.000_2.000.wav", "metadata/train/weak.tsv"])
def test_the_folder_of_another_corpus_is_refused(tmp_path, capsys, force, place):
    """Once, its tables were replaced and, with --force, its recordings removed, with exit status 0."""
    other = tmp_path / "desed" / place
    other.parent.mkdir(parents=True)
    other.write_text("precious")
    sizes = [word for name in synthesize.SIZES for word in (f"--{name.replace('_', '-')}", 1)]
    assert call(synthesize, *sizes, "--nj", 1, *force, tmp_path / "desed") == 2
    assert capsys.readouterr().err.endswith(", which was not synthesised (choose another folder)\n")
    assert other.read_text() == "precious"


def test_force_makes_an_own_corpus_again(tmp_path):
    sizes = [word for name in synthesize.SIZES for word in (f"--{name.replace('_', '-')}", int(name == "weak"))]
    made = []
    for seed, force in ((1, []), (2, ["--force"])):
        options = [*sizes, "--clip-seconds", 1, "--nj", 1, "--seed", seed, *force]
        assert call(synthesize, *options, tmp_path / "made") == 0
        (recording,) = (tmp_path / "made" / PLANS["weak"].folder).iterdir()
        made.append(recording.read_bytes())
    assert made[0] != made[1]
    assert (tmp_path / "made" / "metadata/train/weak.tsv").is_file()


def test_a_corpus_of_a_soundbank_that_has_changed_is_refused(tmp_path, capsys):
    """Once, it counted as complete, and a killed run mixed the rest of its clips from the new recordings."""
    for split in ("train", "validation"):
        (tmp_path / "bank" / split / "foreground" / "Dog").mkdir(parents=True)
        soundfile.write(tmp_path / "bank" / split / "foreground" / "Dog" / "a.wav", np.ones(8000), 16000)
    sizes = [word for name in synthesize.SIZES for word in (f"--{name.replace('_', '-')}", int(name == "weak"))]
    options = [*sizes, "--clip-seconds", 1, "--nj", 1, "--soundbank", tmp_path / "bank"]
    assert call(synthesize, *options, tmp_path / "made") == 0
    assert call(synthesize, *options, tmp_path / "made") == 0
    soundfile.write(tmp_path / "bank/train/foreground/Dog/b.wav", np.ones(8000), 16000)
    capsys.readouterr()
    assert call(synthesize, *options, tmp_path / "made") == 2
    assert "made: made of other recordings than" in capsys.readouterr().err
    assert call(synthesize, *options, "--force", tmp_path / "made") == 0
    stamp = tmp_path / "made" / "synthesis.yaml"
    stamp.write_text("".join(line for line in stamp.open() if not line.startswith("recordings")))
    assert call(synthesize, *options, tmp_path / "made") == 0  # of an earlier version, which did not store them
