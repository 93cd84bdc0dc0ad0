"""Options of sed.bin.train and sed.bin.pretrain, and which experiments are resumed."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from tiny_model import call
from tiny_training import write_dump, write_set

from sed.bin import pretrain, train
from sed.compatibility import FORMAT
from sed.data.store import FeatureStore
from sed.training.loggers.run_id import run_id

CONF = Path(__file__).resolve().parents[2] / "conf" / "real_sounds"


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, module: ModuleType, *args: str) -> Any:
    """Return the config that a command would run with, or its error message."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *args, "--show-config"])
    with pytest.raises(SystemExit) as stop:
        module.main()
    out, err = capsys.readouterr()
    return yaml.safe_load(out) if stop.value.code == 0 else err


@pytest.mark.thorough
@pytest.mark.parametrize("module, config", [(train, "ast_sed"), (pretrain, "pretrain")])
def test_step_scale_is_stored_as_the_steps_that_it_makes(monkeypatch, capsys, module, config):
    options = ["--config", str(CONF / f"{config}.yaml")]
    whole = shown(monkeypatch, capsys, module, *options)
    tenth = shown(monkeypatch, capsys, module, *options, "--step-scale", "0.1")
    assert whole != tenth and whole.keys() == tenth.keys() and "step_scale" not in whole
    changed = {key: (whole[key], tenth[key]) for key in whole if whole[key] != tenth[key]}
    assert changed.keys() == {"steps_per_epoch", "warmup_steps"}
    assert all(small * 10 == large for large, small in changed.values())
    assert shown(monkeypatch, capsys, module, *options, "--step_scale=1") == whole
    assert "--step-scale" in shown(monkeypatch, capsys, module, *options, "--step-scale", "0")


def test_one_batch_size_is_that_of_every_set(monkeypatch, capsys):
    one = shown(monkeypatch, capsys, train, "--train-sets", "strong_real,weak,pseudo", "--batch-sizes", "4")
    assert one["batch_sizes"] == [4, 4, 4]
    several = shown(monkeypatch, capsys, train, "--train-sets", "strong_real,weak,pseudo", "--batch-sizes", "4,2")
    assert several["batch_sizes"] == [4, 2]  # refused once the sets are read


@pytest.mark.parametrize("module", [train, pretrain])
def test_seeds_go_up_to_the_largest_signed_integer_of_64_bits(monkeypatch, capsys, module):
    most = 2**63 - 1
    assert shown(monkeypatch, capsys, module, "--seed", str(most))["seed"] == most
    assert "out of range" in shown(monkeypatch, capsys, module, "--seed", str(most + 1))
    torch.manual_seed(most)  # PyTorch takes it


@pytest.mark.parametrize("name", ["ast.run", "ast.yaml"])
def test_a_checkpoint_may_not_have_the_name_of_what_is_written_beside_it(tmp_path, capsys, name):
    assert call(pretrain, tmp_path, tmp_path / name) == 2
    assert f"{name}: a name that is written beside the checkpoint" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def experiment_of(folder, config, **stored):
    """Write the files of a finished run with this config and the values `stored`; without keys whose value is None."""
    folder.mkdir()
    kept = {key: value for key, value in {**config, **stored}.items() if value is not None}
    (folder / "config.yaml").write_text(yaml.safe_dump(kept, default_flow_style=None))
    (folder / ".done").touch()
    return folder


@pytest.fixture
def go_on(dump, config_file, capsys):
    def run(experiment, *options):
        code = call(train, "--config", config_file, *options, dump, experiment)
        return code, capsys.readouterr().err

    return run


def test_an_experiment_from_before_an_option_goes_on(tiny_config, tmp_path, go_on):
    experiment = experiment_of(tmp_path / "exp", tiny_config(), gru_dropout=None, mixup_labels=None)
    code, said = go_on(experiment)
    assert code == 0 and "trained already" in said
    code, said = go_on(experiment, "--gru-dropout", "0.5")
    assert code == 2 and "this experiment has gru_dropout: 0.0, not 0.5" in said and said.count("\n") == 1
    assert "--tag NAME for ast_sed and a config of another name for the others" in said  # --tag names no other system


@pytest.mark.thorough
def test_what_an_option_meant_before_it_existed_holds_for_experiments_of_that_time(tiny_config, tmp_path, go_on):
    experiment = experiment_of(tmp_path / "exp", tiny_config(), epoch_clips=None)
    (experiment / ".done").unlink()
    for _ in range(2):  # the first run does not store the option, so the second one says the same
        code, said = go_on(experiment)
        assert code == 0 and "the experiment is older than option epoch_clips: keeps found" in said
        assert "epoch_clips" not in yaml.safe_load((experiment / "config.yaml").read_text())
        assert torch.load(experiment / "final.pt", weights_only=True)["config"]["epoch_clips"] == "found"
        (experiment / ".done").unlink()
    assert go_on(tmp_path / "other")[0] == 0
    assert yaml.safe_load((tmp_path / "other" / "config.yaml").read_text())["epoch_clips"] == "named"


@pytest.mark.thorough
@pytest.mark.parametrize("score", ["event_f1", "psds1"])
def test_the_best_epoch_by_a_metric_is_kept(score, tmp_path, go_on, monkeypatch):
    """The metric's values are made up: this tiny model detects nothing, so that all its scores are 0."""
    from sed.evaluation.selection import SCORES

    of_epochs = [0.25, 0.75, 0.5]
    left = iter(of_epochs)
    monkeypatch.setitem(SCORES, score, lambda *_: next(left))
    experiment = tmp_path / "exp"
    options = ["--valid-set", "synth_valid", "--select", "best", "--select-by", score, "--epochs", "3"]
    code, said = go_on(experiment, *options)
    assert code == 0
    scores = [float(line.split("score ")[1].split(",")[0]) for line in said.splitlines() if "validation: score" in line]
    info = json.loads((experiment / "info.json").read_text())
    assert scores == of_epochs and info["best_score"] == 0.75
    # the end of the second epoch of 6 steps
    assert torch.load(experiment / "final.pt", weights_only=True)["step"] == info["best_step"] == 12


def test_another_config_is_refused_but_not_another_number_of_threads(tiny_config, tmp_path, go_on):
    assert go_on(experiment_of(tmp_path / "same", tiny_config(), threads=7))[0] == 0
    experiment = experiment_of(tmp_path / "exp", tiny_config(), lr=0.5)
    code, said = go_on(experiment)
    assert code == 2 and "this experiment has lr: 0.5" in said
    experiment = experiment_of(tmp_path / "other", tiny_config(), of_a_later_version=1)
    code, said = go_on(experiment)
    assert code == 2 and "of_a_later_version: 1, not None" in said


@pytest.mark.thorough
def test_files_that_only_resuming_needs_are_removed_at_the_end_or_by_the_next_run(tmp_path, go_on):
    assert go_on(tmp_path / "whole", "--checkpoint-seconds", "0")[0] == 0
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert ".done" in names and "checkpoints" not in names and "progress.json" not in names
    experiment = tmp_path / "exp"
    with pytest.MonkeyPatch.context() as patch:  # killed in its last moment
        patch.setattr("sed.training.trainer.drop_resume_state", lambda _folder: None)
        assert go_on(experiment, "--checkpoint-seconds", "0")[0] == 0
    assert (experiment / "checkpoints").exists()
    (experiment / "progress.json").touch()  # an earlier version's, whose checkpoints stay
    assert go_on(experiment, "--checkpoint-seconds", "0")[0] == 0 and (experiment / "checkpoints").exists()
    (experiment / "progress.json").unlink()
    assert go_on(experiment, "--checkpoint-seconds", "0")[0] == 0
    assert sorted(path.name for path in experiment.iterdir()) == names


@pytest.mark.thorough
def test_sets_that_changed_since_the_training_are_named(config_file, tmp_path, capsys):
    dump, experiment = write_dump(tmp_path / "dump"), tmp_path / "exp"

    def said(*options):
        assert call(train, "--config", config_file, *options, dump, experiment) == 0
        return capsys.readouterr().err

    said()
    assert "trained before" not in said()
    corrected = (dump / "strong_real" / "events.tsv").read_text().replace("Cat", "Dog", 1)
    (dump / "strong_real" / "events.tsv").write_text(corrected)
    assert "exp: trained before these sets of" in (found := said()) and f"{dump} changed: strong_real (--force" in found
    shutil.rmtree(dump / "weak")
    write_set(dump / "weak", clips=25, supervision="weak", seed=9)  # the same names, other sounds
    (dump / "synth_valid" / "events.tsv").unlink()  # no training set
    assert "changed: strong_real, weak (--force" in said()
    shutil.rmtree(dump / "unlabelled")  # there is nothing to train on instead
    assert "changed: strong_real, weak (--force" in said()
    info = json.loads((experiment / "info.json").read_text())
    del info["data"]  # of an earlier version
    (experiment / "info.json").write_text(json.dumps(info))
    assert "trained before" not in said()


@pytest.mark.thorough
def test_a_killed_run_from_before_an_option_is_resumed(tmp_path, go_on):
    experiment = tmp_path / "exp"
    with pytest.MonkeyPatch.context() as patch:  # as a killed run leaves it
        patch.setattr("sed.training.trainer.drop_resume_state", lambda _folder: None)
        assert go_on(experiment, "--checkpoint-seconds", "0")[0] == 0
    whole = (experiment / "final.pt").read_bytes()
    for name in (".done", "final.pt"):
        (experiment / name).unlink()
    before, last = sorted((experiment / "checkpoints").iterdir())
    last.unlink()
    saved = torch.load(before, weights_only=True)
    del saved["config"]["gru_dropout"], saved["front_end"]["norm_std"]
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    del config["gru_dropout"]
    (experiment / "config.yaml").write_text(yaml.safe_dump(config, default_flow_style=None))

    torch.save({**saved, "front_end": {**saved["front_end"], "norm_std": 1.0}}, before)
    code, said = go_on(experiment)
    assert code == 2 and f"{before.name}: made with another front end: norm_std is 1.0" in said
    torch.save({**saved, "format": FORMAT + 1, "version": "9.1.0"}, before)
    code, said = go_on(experiment)
    assert code == 2 and "install version 9.1.0" in said and before.exists()
    torch.save({**saved, "format": 1}, before)
    code, said = go_on(experiment)
    assert code == 0 and "resumed from" in said
    assert (experiment / "final.pt").read_bytes() == whole
    assert json.loads((experiment / "info.json").read_text())["step"] == 12


def test_random_weights_are_trained_only_where_they_are_meant(tmp_path, go_on):
    experiment = tmp_path / "exp"
    code, said = go_on(experiment, "--pretrained", "")
    assert code == 2 and said.count("\n") == 1
    assert "encoder 'ast' would start from random weights" in said and "--pretrained none" in said
    assert not (experiment / "config.yaml").exists()
    short = ("--epochs", "1", "--steps-per-epoch", "1", "--batch-sizes", "1")
    code, said = go_on(experiment, "--pretrained", "none", *short)
    assert code == 0 and "weights: random; device: CPU, 1 threads; precision: fp32; 0.0" in said  # 0.0... M parameters
    # the clips of the dump's four training sets: 9 + 14 + 25 + 30
    assert "M parameters; 78 clips" in said and said.index("weights: random") < said.index("epochs of")
    assert "weights: random; device" in (experiment / "train.log").read_text()
    assert json.loads((experiment / "info.json").read_text())["weights"] == "random"


def test_an_encoder_without_published_weights_needs_no_word_for_random_ones(tmp_path, go_on):
    options = ["--pretrained", "", "--encoder", "crnn", "--crnn-width", "0.125", "--upsample", "1", "--pooling", "mean"]
    experiment = tmp_path / "exp"
    code, said = go_on(experiment, *options, "--epochs", "1", "--steps-per-epoch", "1", "--batch-sizes", "1")
    assert code == 0 and "weights: random; device: CPU" in said


@pytest.mark.thorough
@pytest.mark.parametrize("now", ["", "none"])
def test_an_experiment_that_began_at_random_without_a_word_goes_on(tiny_config, tmp_path, go_on, now):
    experiment = experiment_of(tmp_path / "exp", tiny_config(pretrained=""))
    assert go_on(experiment, "--pretrained", now)[0] == 0
    (experiment / ".done").unlink()
    code, said = go_on(experiment, "--pretrained", now)
    assert code == 0 and "epoch 2/2" in said
    code, said = go_on(experiment, "--pretrained", "ast.pth")
    assert code == 2 and "this experiment has pretrained:" in said


def test_a_training_that_starts_over_is_another_run_in_trackers(tmp_path):
    first = run_id(tmp_path, "mlflow")
    train._clear(tmp_path)
    assert run_id(tmp_path, "mlflow") != first


def test_windows_and_results_of_the_earlier_model_are_removed_with_a_line(tmp_path, log_lines):
    (tmp_path / "validation").mkdir()
    for name in ("windows.json", "validation/result.json"):
        (tmp_path / name).touch()
    train._clear(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "chosen for the earlier model" in log_lines[0]
    assert "validation/result.json: removed, since it was of the earlier model" in log_lines[1]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--pretrained", ""], "would start from random weights"),
        (["--pretrained", "nowhere.pth"], "nowhere.pth"),
        (["--train-sets", "elsewhere", "--batch-sizes", "1"], "elsewhere"),
    ],
)
def test_a_restart_that_cannot_start_leaves_the_earlier_training(options, message, tiny_config, tmp_path, go_on):
    experiment = experiment_of(tmp_path / "exp", tiny_config())
    for name in ("final.pt", "train.log"):
        (experiment / name).write_text("earlier\n")
    before = {path.name: path.read_bytes() for path in experiment.iterdir() if path.is_file()}
    code, said = go_on(experiment, "--force", *options)
    assert code == 2 and message in said
    assert {path.name: path.read_bytes() for path in experiment.iterdir() if path.name in before} == before
    assert not (experiment / "train.log.new").exists()


def test_a_restart_replaces_the_earlier_training_and_its_log(tiny_config, tmp_path, go_on):
    experiment = experiment_of(tmp_path / "exp", tiny_config(lr=0.5))
    (experiment / "train.log").write_text("earlier\n")
    short = ("--epochs", "1", "--steps-per-epoch", "1", "--batch-sizes", "1")
    code, _ = go_on(experiment, "--force", *short)
    assert code == 0 and (experiment / ".done").exists()
    log = (experiment / "train.log").read_text()
    assert "earlier" not in log and "parameters; 78 clips" in log and "epoch 1/1" in log
    assert not (experiment / "train.log.new").exists()


def test_a_restart_killed_at_any_removal_leaves_no_checkpoints_without_their_config(tmp_path, monkeypatch):
    def killed_at(number):
        def count(*_args, **_options):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        left = number
        unlink, rmtree = Path.unlink, shutil.rmtree
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", lambda *args, **options: (count(), unlink(*args, **options)))
            patch.setattr(shutil, "rmtree", lambda *args, **options: (count(), rmtree(*args, **options)))
            with contextlib.suppress(KeyboardInterrupt):
                train._clear(tmp_path)

    for number in range(15):  # `_clear` removes 13 files and folders
        (tmp_path / "config.yaml").touch()
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        killed_at(number)
        assert (tmp_path / "config.yaml").exists() or not (tmp_path / "checkpoints").exists(), number
    assert not list(tmp_path.iterdir())


def test_a_source_of_pre_training_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = str(CONF / "pretrain.yaml")
    monkeypatch.setattr(sys, "argv", ["pretrain", "--config", config, "--device", "cpu", "nowhere", "new/ast.pt"])
    with pytest.raises(SystemExit) as stop:
        pretrain.main()
    assert stop.value.code == 2 and "nowhere: no such dumped set or soundbank" in capsys.readouterr().err
    (tmp_path / "new" / "ast.pt").touch()
    assert call(pretrain, "--config", config, "--device", "cpu", "--force", "nowhere", "new/ast.pt") == 2
    assert (tmp_path / "new" / "ast.pt").exists()


def test_a_checkpoint_of_a_set_with_other_labels_is_not_taken_for_finished(tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "labels.txt").write_text("Cat\nDog\n")
    (tmp_path / "ast.pt").touch()
    (tmp_path / "ast.labels.txt").write_text("Cat\nDog\n")
    assert call(pretrain, tmp_path / "set", tmp_path / "ast.pt") == 0
    (tmp_path / "set" / "labels.txt").write_text("Bird\nDog\n")
    assert call(pretrain, tmp_path / "set", tmp_path / "ast.pt") == 2
    assert "ast.pt was made with other labels (--force trains again)" in capsys.readouterr().err
    assert call(pretrain, tmp_path / "gone", tmp_path / "ast.pt") == 0


def test_a_checkpoint_of_a_soundbank_with_other_kinds_is_not_taken_for_finished(tmp_path, capsys):
    for kind in ("train/foreground/Dog", "validation/foreground/Dog", "train/distractor/car"):
        (tmp_path / "bank" / kind).mkdir(parents=True)
        (tmp_path / "bank" / kind / "one.wav").touch()
    (tmp_path / "ast.pt").touch()
    (tmp_path / "ast.labels.txt").write_text("Dog\ndistractor/car\nprocedural/Cat\n")
    assert call(pretrain, tmp_path / "bank", tmp_path / "ast.pt") == 0
    (tmp_path / "bank/train/foreground/Bird").mkdir()
    (tmp_path / "bank/train/foreground/Bird/one.wav").touch()
    assert call(pretrain, tmp_path / "bank", tmp_path / "ast.pt") == 2
    assert "ast.pt was made with other labels (--force trains again)" in capsys.readouterr().err


def test_a_checkpoint_is_not_taken_for_finished_if_the_set_has_another_front_end_now(dump, tmp_path, capsys):
    (tmp_path / "ast.pt").touch()
    stored = FeatureStore(dump / "weak").front_end
    same = [f"--{key}={value}" for key, value in stored.items()]
    assert call(pretrain, *same, dump / "weak", tmp_path / "ast.pt") == 0
    assert call(pretrain, *same, "--mel-bins=17", dump / "weak", tmp_path / "ast.pt") == 2
    assert "features of another front end than" in capsys.readouterr().err
