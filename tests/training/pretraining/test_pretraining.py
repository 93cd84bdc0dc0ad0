"""The pre-training run: what it writes, that it learns, and exact resume from whatever ended it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import ROOT
from tiny_training import Recorder
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from sed.checkpoints.checkpoint import checkpoints, save_checkpoint
from sed.checkpoints.pretrained import load_pretrained
from sed.errors import RunError
from sed.models.detector import build_detector
from sed.training.inputs import StepInputs
from sed.training.loop import Stopped
from sed.training.pretraining.pretraining import Pretraining, folder_of

LABELS = ["Cat", "Dog", "Speech"]
FROM_BANK = {"procedural": 0, "drop_path": 0.3, "frame_detail": 2, "patchout": 1, "stride_freq": 8}

Build = Callable[..., Pretraining]


@pytest.mark.parametrize("name", ["strong_synth", "weak"])
def test_the_result_loads_as_the_published_checkpoint_does(
    pretraining: Build, tmp_path: Path, tiny_config: Callable[..., dict[str, Any]], name: str
) -> None:
    out = tmp_path / "ast.pth"
    run = pretraining(name, out)
    run.run()
    state = torch.load(out, weights_only=True)
    assert all(key.startswith(("module.v.", "module.mlp_head.")) for key in state)
    assert (tmp_path / "ast.labels.txt").read_text().split() == LABELS
    model = build_detector(tiny_config(), 3)
    load_pretrained(model, tiny_config(pretrained=str(out)), LABELS)
    trained = run.model.tagger.encoder.state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in model.encoder.state_dict().items())


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["strong_synth", "bank"])
@pytest.mark.parametrize("convolution", ["plain", "fdy"])
def test_a_cnn_s_result_loads(
    pretraining: Build, tmp_path: Path, tiny_config: Callable[..., dict[str, Any]], name: str, convolution: str
) -> None:
    out = tmp_path / "cnn.pth"
    sizes = {"encoder": "cnn", "cnn_width": 0.125, "cnn_conv": convolution}
    run = pretraining(name, out, **sizes, procedural=0)
    before = {key: value.clone() for key, value in run.model.get_submodule("tagger.encoder").state_dict().items()}
    run.run()
    trained = run.model.get_submodule("tagger.encoder").state_dict()
    assert not all(torch.equal(value, trained[key]) for key, value in before.items() if "weight" in key)
    config = tiny_config(**sizes, pooling="mean", pretrained=str(out))
    model = build_detector(config, 3)
    load_pretrained(model, config, LABELS)
    loaded = model.get_submodule("encoder").state_dict()
    assert loaded.keys() == trained.keys() and all(torch.equal(value, trained[key]) for key, value in loaded.items())


@pytest.mark.thorough
@pytest.mark.parametrize("sizes", [{"ast_dim": 16}, {"encoder": "cnn", "cnn_width": 0.25, "cnn_dropout": 0.0}])
def test_it_learns_the_tags_and_the_frames(pretraining: Build, tmp_path: Path, sizes: dict[str, Any]) -> None:
    run = pretraining("strong_synth", tmp_path / "x.pth", epochs=30, constant_epochs=30, mixup_probability=0.0, **sizes)
    inputs = run.maker.make(10_000)  # a draw from the training clips that the training does not reach
    before = torch.stack(run.objective(inputs, None))
    run.run()
    assert (torch.stack(run.objective(inputs, None)) < before).all()


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "changes"), [("weak", {"drop_path": 0.3}), ("bank", FROM_BANK)])
def test_a_killed_run_resumes_to_the_same_bytes(
    pretraining: Build, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    pretraining(name, tmp_path / "whole.pth", **changes).run()
    out = tmp_path / "killed.pth"

    run = pretraining(name, out, **changes)  # stopped by a signal
    run.open_logger = Recorder(lambda step: step == 3 and os.kill(os.getpid(), signal.SIGTERM)).open
    with pytest.raises(Stopped, match=r"SIGTERM after step 3 of 10, checkpoint saved"):
        run.run()
    assert [path.name for path in checkpoints(folder_of(out) / "checkpoints")] == ["step-00000003.pt"]

    run = pretraining(name, out, checkpoint_seconds=0.0, **changes)  # killed in a step
    take = run.take

    def dying(step: int, inputs: list[StepInputs]) -> torch.Tensor:
        if step == 7:
            raise MemoryError
        return take(step, inputs)

    run.take = dying  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        run.run()
    last = checkpoints(folder_of(out) / "checkpoints")[-1]
    assert last.name == "step-00000007.pt" and not out.exists()
    last.write_bytes(last.read_bytes()[:3000])  # and its last checkpoint damaged

    recorder = Recorder()
    run = pretraining(name, out, **changes)
    run.open_logger = recorder.open
    run.run()
    assert recorder.opened_at == 6 and list(recorder.scalars_of["train/loss"]) == [7, 8, 9, 10]
    assert out.read_bytes() == (tmp_path / "whole.pth").read_bytes()
    assert not checkpoints(folder_of(out) / "checkpoints")


def test_a_killed_run_of_another_config_or_version_is_not_resumed(
    pretraining: Build, tmp_path: Path, log_lines: list[str]
) -> None:
    out = tmp_path / "ast.pth"
    pretraining("weak", tmp_path / "whole.pth").run()
    other = pretraining("weak", out, lr=0.5)
    place = other.folder / "checkpoints"
    save_checkpoint(place / "step-00000008.pt", other.checkpoint(8, with_optimiser=True))
    (tmp_path / ".ast.pth.state").write_bytes(b"by version 0.1")
    pretraining("weak", out).run()
    assert any("step-00000008.pt: the killed run had another config: starting over" in line for line in log_lines)
    assert any(".ast.pth.state: left by a killed run of an earlier version" in line for line in log_lines)
    assert not (tmp_path / ".ast.pth.state").exists()
    assert out.read_bytes() == (tmp_path / "whole.pth").read_bytes()


def test_a_killed_run_of_a_version_without_an_option_resumes(pretraining: Build, tmp_path: Path) -> None:
    run = pretraining("weak", tmp_path / "ast.pth")
    saved = run.checkpoint(8, with_optimiser=True)
    lacking = {key: value for key, value in saved["config"].items() if key not in ("patchout", "norm_std")}
    assert run.accepts(tmp_path, {**saved, "config": lacking})
    assert not run.accepts(tmp_path, {**saved, "config": {**lacking, "patchout": 1}})
    assert not run.accepts(tmp_path, {**saved, "labels": LABELS[::-1]})


def test_a_loss_that_is_not_finite_ends_the_run(pretraining: Build, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not finite at step \d+: loss .*, tags .*, frames"):
        pretraining("weak", tmp_path / "ast.pth", lr=1e30, clip_norm=0.0).run()
    assert not (tmp_path / "ast.pth").exists()


def test_losses_and_rates_are_logged(pretraining: Build, tmp_path: Path) -> None:
    recorder, run = Recorder(), pretraining("strong_synth", tmp_path / "ast.pth", constant_epochs=1)
    run.open_logger = recorder.open
    run.run()
    for loss, tags, frames, norm in recorder.rows(run.logged):
        assert loss == pytest.approx(tags + frames) and frames > 0 and norm > 0
    assert recorder.scalars_of["lr/all"] == {5: 1e-2, 10: pytest.approx(1e-4)}
    assert [step for step, text in recorder.texts if text.startswith("epoch ")] == [5, 10]


def test_the_loss_weighs_tags_and_frames(pretraining: Build, tmp_path: Path) -> None:
    weights = {"tag_weight": 2.0, "frame_weight": 0.25}
    run = pretraining("strong_synth", tmp_path / "a.pth", mixup_probability=0.0, **weights)
    inputs = run.maker.fetched(run.maker.make(0))
    run.model.eval()
    with torch.no_grad():
        total, tags, frames = run.objective(inputs, None)
        prepared = run.preparation(inputs)
        of_tags, of_frames = run.model(prepared.student, run.frames)
    y = prepared.strong_targets
    assert tags.item() == pytest.approx(cross_entropy(of_tags, y.amax(1)).item(), rel=1e-5)
    assert frames.item() == pytest.approx(cross_entropy(of_frames, y).item(), rel=1e-5)
    assert total.item() == pytest.approx(2 * tags.item() + 0.25 * frames.item(), rel=1e-6)


def test_patchout_draws_bands_by_step(pretraining: Build, tmp_path: Path) -> None:
    run = pretraining("weak", tmp_path / "a.pth", patchout=1, mel_bins=16, patch_freq=8, stride_freq=4)
    assert run.model.bands == 3
    kept = [bands for step in range(20) if (bands := run.kept_bands(step)) is not None]
    other = pretraining("weak", tmp_path / "b.pth", patchout=1, stride_freq=4)
    again = [bands for step in range(20) if (bands := other.kept_bands(step)) is not None]
    assert len(kept) == len(again) == 20 and all(map(torch.equal, kept, again))
    assert {tuple(bands.tolist()) for bands in kept} == {(0, 1), (0, 2), (1, 2)}
    assert pretraining("weak", tmp_path / "c.pth").kept_bands(0) is None


RANKS = """
import json, sys
from pathlib import Path

import torch

sys.path.insert(0, sys.argv[4])
from tiny_training import Recorder

from sed.training.distributed import joined
from sed.training.pretraining.build import build_pretraining

device = torch.device("cpu")
with joined(device) as world:
    config = json.loads(Path(sys.argv[1]).read_text())
    out = Path(sys.argv[3])
    run = build_pretraining(config, Path(sys.argv[2]), out, None, device=device, world=world)
    recorder = Recorder()
    run.open_logger = recorder.open
    run.run()
    if world.first:
        out.with_suffix(".rows.json").write_text(json.dumps(recorder.rows(run.logged)))
"""


@pytest.mark.thorough
@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_two_processes_have_the_losses_of_one(
    pretraining: Build, pretraining_config: dict[str, Any], bank: Path, tmp_path: Path, mixup: float
) -> None:
    changes = {"mixup_probability": mixup, **FROM_BANK, "drop_path": 0.0}
    one = pretraining("bank", tmp_path / "one.pth", **changes)
    recorder = Recorder()
    one.open_logger = recorder.open
    one.run()
    (tmp_path / "ranks.py").write_text(RANKS)
    (tmp_path / "config.json").write_text(json.dumps({**pretraining_config, **changes}))
    launched = [sys.executable, "-m", "sed.bin.launch", "--standalone", "--nproc-per-node", "2", tmp_path / "ranks.py"]
    arguments = [tmp_path / "config.json", bank, tmp_path / "two.pth", ROOT / "tests/helpers"]
    ended = subprocess.run(
        [*launched, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    two = torch.tensor(json.loads((tmp_path / "two.rows.json").read_text()))
    assert torch.allclose(torch.tensor(recorder.rows(one.logged)), two, rtol=1e-3, atol=1e-5)
    names = [torch.load(tmp_path / f"{name}.pth", weights_only=True).keys() for name in ("one", "two")]
    assert names[0] == names[1] and (tmp_path / "two.labels.txt").read_text().split() == LABELS
    assert not (tmp_path / "two.run/checkpoints").exists()
