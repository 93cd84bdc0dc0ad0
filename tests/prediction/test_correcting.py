"""The loop of the manual: predict, correct ten recordings on the page in Chromium, fine-tune, and detect better."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from chromium import browser, needs_chromium

from sed.data.tables import Event, read_events_tsv, write_durations_tsv, write_events_tsv

pytestmark = [needs_chromium, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
RATE, SECONDS = 16000, 10


def recordings(folder, count, *, seed, windy=False):
    """Write recordings of beeps and hisses over silence, or over another recorder's wind; return what is in them."""
    rng, truth = np.random.default_rng(seed), {}
    folder.mkdir()
    for number in range(count):
        name, t = f"{folder.name}{number}", np.arange(RATE * SECONDS) / RATE
        sound = (0.05 if windy else 0.001) * rng.standard_normal(len(t))
        truth[name] = []
        for begin in np.arange(0.5, SECONDS - 2, 2.4):
            onset = round(begin + rng.uniform(0, 0.6), 3)
            event = Event(onset, round(onset + rng.uniform(0.5, 1.2), 3), str(rng.choice(["beep", "hiss"])))
            tone = np.sin(2 * np.pi * rng.uniform(600, 1500) * t)
            inside = (t >= event.onset) & (t < event.offset)
            sound += inside * 0.3 * (tone if event.label == "beep" else rng.standard_normal(len(t)))
            truth[name].append(event)
        soundfile.write(folder / f"{name}.wav", np.clip(sound, -1, 1), RATE)
    write_events_tsv(folder.with_suffix(".tsv"), truth)
    write_durations_tsv(folder.parent / f"{folder.name}_durations.tsv", dict.fromkeys(truth, float(SECONDS)))
    return truth


def run(*command):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "SED_BACKEND": "local"}
    done = subprocess.run([*map(str, command)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def command(name, *options):
    run(sys.executable, "-m", f"sed.bin.{name}", *options)


def own_data(*options):
    run("egs/own_data/run.sh", "--ngpu", "0", "--nj", "1", "--validation", "0", "--stop-stage", "4", *options)


def f1(model, folder, out):
    """Return the macro event-based F1 of the events that a model detects in a folder."""
    command("predict", "--model", model, "--threads", "1", "--out", out / "found.tsv", folder)
    truth = ("--ground-truth", folder.with_suffix(".tsv"), "--durations", f"{folder}_durations.tsv")
    command("score", *truth, "--no-report", "--out", out / "result.json", out / "found.tsv")
    return json.loads((out / "result.json").read_text())["event_f1_macro"]


def correct(page, truth, folder):
    """Reject all events on the page, add the right ones at the cursor, and export.

    The cursor is `mark` in a recording whose player has no sound, else the player's time, which would have to be
    waited for after a jump (`now` in page.html).
    """
    with browser(folder) as chromium:
        chromium.open(page)
        wanted = json.dumps({f"{name}.wav": events for name, events in truth.items()})
        chromium.js(
            f"((wanted) => {{ for (const r of recordings) {{ const e = r.editing;"
            " for (const event of r.all) { e.select(event); e.mark('rejected'); }"
            " for (const [onset, offset, label] of wanted[r.file]) { r.mark = onset; r.player.removeAttribute('src');"
            " e.add(); e.edit(() => e.move(1, offset)); e.edit(() => e.rename(label)); }"
            f" e.review(true); }} }})({wanted})"
        )
        chromium.tap("document.querySelector('#export button')")
        corrected = folder / "corrected.tsv"
        corrected.write_bytes(chromium.downloaded("corrected.tsv").read_bytes())
    return corrected


def test_a_model_learns_a_recorder_from_ten_corrected_recordings(tmp_path):
    recordings(tmp_path / "quiet", 40, seed=0)
    truth = recordings(tmp_path / "ten", 10, seed=1, windy=True)
    recordings(tmp_path / "new", 20, seed=2, windy=True)
    config = yaml.safe_load((ROOT / "conf/mini/crnn.yaml").read_text())
    config |= {"features": str(ROOT / "conf/mini/logmel.yaml"), "cnn_width": 0.125, "gru_units": 16}
    # There are no tags, from which attention would learn: its clip posteriors would mask all events.
    config |= {"clip_pooling": "linear_softmax"}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    own_data(
        *("--recordings", tmp_path / "quiet", "--events", tmp_path / "quiet.tsv", "--work", tmp_path / "first"),
        *("--conf", tmp_path / "small.yaml", "--feature-conf", "conf/mini/logmel.yaml", "--tag", "first"),
        *("--pretrained", "none", "--train-args", "--epochs 3 --steps-per-epoch 40"),
    )
    model, page = tmp_path / "model", tmp_path / "page.html"
    command("pack", "--licence", "CC0", "--data", "quiet", tmp_path / "first/exp/first", model)
    command("predict", "--model", model, "--threads", "1", "--html", page, tmp_path / "ten")
    (tmp_path / "browser").mkdir()
    corrected = correct(page, truth, tmp_path / "browser")
    assert read_events_tsv(corrected) == truth
    before = f1(model, tmp_path / "new", tmp_path)
    after = []
    for seed in (1, 2, 3):
        work = tmp_path / f"round{seed}"
        own_data(
            *("--recordings", tmp_path / "ten", "--events", corrected, "--work", work),
            *("--from", model, "--keep-labels", "true"),
            *("--train-args", f"--epochs 3 --steps-per-epoch 20 --lr 1e-3 --encoder-lr 1e-3 --seed {seed}"),
        )
        after.append(f1(work / "exp/finetuned", tmp_path / "new", tmp_path))
    print(f"event F1 on the windy recorder: {before:.3f} before, {after} after")
    assert min(after) > before + 0.1
