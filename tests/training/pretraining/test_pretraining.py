import itertools

import numpy as np
import pytest
import soundfile
import torch

from sed.checkpoints.pretrained import load_pretrained
from sed.config import default_options
from sed.errors import UserError
from sed.models.detector import build_detector
from sed.training.pretraining.pretraining import Pretraining

CPU = torch.device("cpu")
LABELS = ["Cat", "Dog", "Speech"]


@pytest.fixture
def config(tiny_config):
    config = default_options("sed.features.logmel", "sed.models.detector", "sed.training.pretraining.pretraining")
    config.update({key: value for key, value in tiny_config().items() if key in config})
    return {**config, "batch_size": 4, "steps_per_epoch": 5, "epochs": 2, "lr": 1e-2}


@pytest.mark.parametrize("name", ["strong_synth", "weak"])
def test_the_result_loads_as_the_published_checkpoint_does(dump, config, tmp_path, tiny_config, name):
    out = tmp_path / "ast.pth"
    run = Pretraining(config, dump / name, out, LABELS, device=CPU)
    run.run()
    state = torch.load(out, weights_only=True)
    assert all(key.startswith(("module.v.", "module.mlp_head.")) for key in state)
    assert (tmp_path / "ast.labels.txt").read_text().split() == LABELS
    model = build_detector(tiny_config(), 3)
    load_pretrained(model, tiny_config(pretrained=str(out)), LABELS)
    trained = run.model.tagger.encoder.state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in model.encoder.state_dict().items())


def test_it_learns_the_tags(dump, config, tmp_path):
    config.update(epochs=30, constant_epochs=30, mixup_probability=0.0, ast_dim=16)
    run = Pretraining(config, dump / "strong_synth", tmp_path / "ast.pth", LABELS, device=CPU)
    inputs = run.maker.make(10_000)
    before = run._step(inputs, 0.0)
    run.run()
    assert (run._step(inputs, 0.0) < before).all()


def test_a_killed_run_goes_on_to_the_same_bytes(dump, config, tmp_path):
    config["checkpoint_seconds"] = 0.0
    Pretraining(config, dump / "weak", tmp_path / "whole.pth", LABELS, device=CPU).run()
    run = Pretraining(config, dump / "weak", tmp_path / "killed.pth", LABELS, device=CPU)
    run._log_seconds = 0.0
    step = run._step

    def dying(inputs, lr, bands):
        if lr == run.config["lr"] * run.schedule.lr_factor(6):
            raise KeyboardInterrupt
        return step(inputs, lr, bands)

    run._step = dying
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run._state_path.exists() and not run.out.exists()
    again = Pretraining(config, dump / "weak", tmp_path / "killed.pth", LABELS, device=CPU)
    again.run()
    assert (tmp_path / "killed.pth").read_bytes() == (tmp_path / "whole.pth").read_bytes()
    assert not again._state_path.exists()


def test_sets_without_labels_are_refused(dump, config, tmp_path):
    with pytest.raises(UserError, match="needs labels"):
        Pretraining(config, dump / "unlabelled", tmp_path / "x.pth", LABELS, device=CPU)


def test_from_a_soundbank_a_killed_run_goes_on_to_the_same_bytes(tmp_path, config):
    rng = np.random.default_rng(0)
    for split, label in itertools.product(("train", "validation"), LABELS):
        folder = tmp_path / "bank" / split / "foreground" / label
        folder.mkdir(parents=True)
        soundfile.write(folder / "one.wav", 0.1 * rng.normal(size=8000), 16000)
    config.update(
        procedural=0,
        drop_path=0.3,
        frame_detail=2,
        patchout=1,
        stride_freq=8,
        checkpoint_seconds=0.0,
        steps_per_epoch=3,
    )
    runs = []
    for name in ("whole", "killed"):
        run = Pretraining(config, tmp_path / "bank", tmp_path / f"{name}.pth", None, device=CPU)
        run._log_seconds = 0.0
        runs.append(run)
    runs[0].run()
    assert runs[0].labels == LABELS
    saved = runs[1]._save

    def dying(step):
        saved(step)
        raise KeyboardInterrupt

    runs[1]._save = dying
    with pytest.raises(KeyboardInterrupt):
        runs[1].run()
    Pretraining(config, tmp_path / "bank", tmp_path / "killed.pth", None, device=CPU).run()
    assert (tmp_path / "killed.pth").read_bytes() == (tmp_path / "whole.pth").read_bytes()


def test_leaving_out_all_bands_is_refused(dump, config, tmp_path):
    with pytest.raises(UserError, match="bands"):
        Pretraining(config | {"patchout": 99}, dump / "weak", tmp_path / "x.pth", LABELS, device=CPU)
