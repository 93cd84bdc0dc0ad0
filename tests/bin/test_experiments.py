"""Lists of experiments: names, dumps, initial weights, and the order of trainings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sed.bin import experiments

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def listed(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in an empty folder, and returns its rows of columns or its error."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> list[list[str]] | str:
        monkeypatch.setattr(sys, "argv", ["experiments.py", "--conf-dirs", "own", *args])
        with pytest.raises(SystemExit) as stop:
            experiments.main()
        out, err = capsys.readouterr()
        return [line.split("\t") for line in out.splitlines()] if stop.value.code == 0 else err

    return run


def config(name: str, text: str = "lr: 1\n") -> None:
    Path("own").mkdir(exist_ok=True)
    Path(f"own/{name}.yaml").write_text(text)


def test_an_experiment_is_named_by_its_config_its_rates_and_its_seed(listed):
    config("a")
    assert listed("train", "a") == [["a", "own/a.yaml", "dump"]]
    assert listed("train", "x=own/a.yaml", "own/a.yaml", "--dump", "d") == [
        ["x", "own/a.yaml", "d"],
        ["a", "own/a.yaml", "d"],
    ]
    rows = listed("train", "a", "--seeds", "1 2", "--rates", "1e-3:1e-4 3e-3:1e-4")
    assert [row[0] for row in rows] == [f"a_lr{lr}_1e-4_seed{seed}" for seed in (1, 2) for lr in ("1e-3", "3e-3")]
    assert rows[0][3] == "--seed 1 --lr 1e-3 --encoder-lr 1e-4"
    assert listed("train") == []
    Path("own/other.yml").write_text("lr: 1\n")
    assert [row[:2] for row in listed("train", "own/other.yml", "y=own/other.yml")] == [
        ["other.yml", "own/other.yml"],
        ["y", "own/other.yml"],
    ]


@pytest.mark.usefixtures("listed")
def test_an_experiment_that_is_not_scored_because_it_is_not_trained_is_named(monkeypatch, capsys):
    config("a")
    Path("exp/a_seed2").mkdir(parents=True)
    Path("exp/a_seed2/final.pt").touch()
    monkeypatch.setattr(sys, "argv", ["x", "--conf-dirs", "own", "score", "a", "--seeds", "1 2 3 4 5 6 7"])
    with pytest.raises(SystemExit):
        experiments.main()
    out, err = capsys.readouterr()
    assert out.split("\t")[0] == "a_seed2"
    assert "not trained yet, so not scored: a_seed1, a_seed3, a_seed4, a_seed5, a_seed6 and 1 more\n" in err


def test_folders_of_configs_with_blanks_are_given_in_quotation_marks(listed):
    Path("my conf").mkdir()
    Path("my conf/a.yaml").write_text("lr: 1\n")
    config("b")
    assert [row[1] for row in listed("--conf-dirs", "'my conf' own", "train", "a", "b")] == [
        "my conf/a.yaml",
        "own/b.yaml",
    ]
    assert "unmatched quotation mark" in listed("--conf-dirs", "'my conf own", "train", "a")


def test_all_configs_are_trained_with_the_first_seed_before_any_with_the_second(listed):
    for name in "abc":
        config(name)
    rows = listed("train", "b", "a", "c", "--seeds", "7 2", "--vary", "lr=1,2")
    assert [row[0] for row in rows] == [
        f"{name}{lr}_seed{seed}" for seed in (7, 2) for name in "bac" for lr in ("", "_lr_2")
    ]


def test_each_front_end_has_a_dump_of_its_name_and_the_recipe_s_is_dump_itself(listed):
    for name, features in {"a": "", "b": f"features: {ROOT}/conf/logmel.yaml", "c": "features: own_mel.yaml"}.items():
        config(name, f"lr: 1\n{features}\n")
    config("own_mel", "mel_bins: 64\n")
    mine = str(Path("own/own_mel.yaml").resolve())
    assert listed("features", "a", "b", "c", "a") == [[str(ROOT / "conf/logmel.yaml"), "dump"], [mine, "dump/own_mel"]]
    assert listed("features", "c") == [[mine, "dump/own_mel"]]
    # dump is of the front end that --feature-conf names
    assert listed("features", "a", "c", "--feature-conf", "own/own_mel.yaml") == [["own/own_mel.yaml", "dump"]]
    Path("copy.yaml").write_text("# the same\nmel_bins: 64.0\n")
    assert listed("features", "c", "--feature-conf", "copy.yaml") == [["copy.yaml", "dump"]]
    assert [row[2] for row in listed("train", "a", "c", "--dump", "d")] == ["d", "d/own_mel"]


def test_a_key_may_have_dashes(listed):
    config("first")
    config("own_mel", "mel_bins: 64\n")
    config("second", "init-from: first\nfeatures: own_mel.yaml\n")
    assert listed("train", "second") == [["second", "own/second.yaml", "dump/own_mel", "--pretrained exp/first"]]
    Path("map.tsv").write_text("class\tlabel\n")
    config("zero", "class-map: ../map.tsv\npretrained: atst-f-strong\n")
    assert [row[3] for row in listed("import", "zero")] == [str(Path("map.tsv").resolve())]


def test_a_training_starts_from_its_config_s_init_from_or_else_from_pretrained(listed):
    config("first")
    config("second", "init_from: first\n")
    config("none", "init_from: none\n")
    rows = {
        row[0]: row[3:] for row in listed("train", "second", "none", "first", "--pretrained", "ast.pth", "--seeds", "7")
    }
    assert rows["first_seed7"] == ["--seed 7 --pretrained ast.pth"]
    assert rows["none_seed7"] == ["--seed 7 --pretrained none"]
    assert rows["second_seed7"] == ["--seed 7 --pretrained exp/first_seed7", "first_seed7"]
    assert listed("train", "first") == [["first", "own/first.yaml", "dump"]]
    assert listed("train", "first", "--pretrained", "none")[0][3] == "--pretrained none"
    assert listed("train", "second") == [["second", "own/second.yaml", "dump", "--pretrained exp/first"]]
    spaced = listed("train", "first", "--pretrained", "my ast.pth")
    assert spaced[0][3] == "--pretrained 'my ast.pth'"


def test_a_published_checkpoint_is_that_of_the_config_s_encoder(listed):
    config("ours")
    config("theirs", "encoder: panns\n")
    config("cnn", "encoder: cnn\n")
    Path("d").mkdir()
    Path("d/ast.pth").touch()
    Path("d/panns.pth").touch()
    rows = {row[0]: row[3:] for row in listed("train", "ours", "theirs", "cnn", "--downloads", "d")}
    assert rows == {"ours": ["--pretrained d/ast.pth"], "theirs": ["--pretrained d/panns.pth"], "cnn": []}
    Path("d/ast.safetensors").touch()
    assert listed("train", "ours", "--downloads", "d")[0][3] == "--pretrained d/ast.safetensors"
    assert listed("train", "theirs", "--downloads", "d", "--pretrained", "none")[0][3] == "--pretrained none"


def test_an_encoder_pre_trained_by_the_recipe_precedes_pretrained_but_not_init_from(listed):
    config("pre")
    config("a", "init_from: none\npretrained_by: pre\n")
    config("b", "pretrained_by: pre\n")
    config("c", "init_from: a\npretrained_by: pre\n")
    config("d")
    every = ("a", "b", "c", "d")
    assert listed("pretrain", *every) == []  # a recipe that pre-trains none
    assert [row[3] for row in listed("train", "a", "b", "--pretrained", "ast.pth")] == [
        "--pretrained none",
        "--pretrained ast.pth",
    ]
    assert listed("pretrain", *every, "--checkpoints", "d", "--seeds", "1 2") == [["pre", "own/pre.yaml", "d/pre.pth"]]
    rows = {row[0]: row[3] for row in listed("train", *every, "--checkpoints", "d", "--pretrained", "ast.pth")}
    assert rows["a"] == rows["b"] == "--pretrained d/pre.pth"
    assert rows["c"] == "--pretrained exp/a" and rows["d"] == "--pretrained ast.pth"


def test_what_others_start_from_comes_first(listed):
    config("c", "init_from: b\n")
    config("b", "init_from: a\n")
    config("a")
    rows = listed("train", "c", "b", "a", "--seeds", "1 2")
    place = {row[0]: number for number, row in enumerate(rows)}
    assert len(rows) == 6 and all(place[row[4]] < number for number, row in enumerate(rows) if len(row) == 5)
    config("a", "init_from: c\n")
    assert "own/c.yaml: init_from: c_seed1 would start from itself" in listed("train", "c", "b", "a", "--seeds", "1")


def test_pseudo_labels_are_those_of_the_same_seed(listed):
    config("a", "train_sets: strong_real,pseudo,weak\npseudo_labels_of: b\n")
    config("c", "train_sets: [strong_real, pseudo]\npseudo_labels_of: b\ninit_from: a\n")
    assert listed("label", "a", "c", "--seeds", "1 2") == [
        ["pseudo_seed1", "b_seed1", "dump"],
        ["pseudo_seed2", "b_seed2", "dump"],
    ]
    assert listed("label", "a") == [["pseudo", "b", "dump"]]
    assert listed("train", "a", "--seeds", "2")[0][3] == "--seed 2 --train-sets strong_real,pseudo_seed2,weak"
    assert (
        listed("train", "a", "--seeds", "2", "--vary", "train_sets=pseudo")[0][3]
        == "--seed 2 --train-sets pseudo_seed2"
    )
    assert listed("train", "a") == [["a", "own/a.yaml", "dump"]]
    for name in ("c", "d"):
        config(name, f"train_sets: weak,pseudo\npseudo_labels_of: of_{name}\n")
    assert "dump/pseudo_seed2 would be labelled by of_d_seed2 and by of_c_seed2" in listed(
        "features", "c", "d", "--seeds", "2"
    )
    config("a", "train_sets: strong_real,weak\npseudo_labels_of: b\n")
    assert "own/a.yaml: pseudo_labels_of, but no set 'pseudo' in train_sets" in listed("train", "a")


def test_only_what_is_trained_is_scored(listed):
    config("a")
    config("b")
    assert listed("score", "a", "b", "--seeds", "1 2") == []
    Path("exp/b_seed2").mkdir(parents=True)
    Path("exp/b_seed2/final.pt").touch()
    assert listed("score", "a", "b", "--seeds", "1 2") == [["b_seed2", "own/b.yaml", "dump"]]
    rows = listed("score", "b", "--seeds", "2", "--folder", "boxes", "--score-args", "--tuned t.json")
    assert rows == [["b_seed2/boxes", "own/b.yaml", "dump", "--tuned t.json"]]


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b"])
def test_a_name_that_is_no_folder_below_exp_is_refused(listed, name):
    config("a")
    assert f"{name}=own/a.yaml: '{name}' is no name of an experiment" in listed("train", f"{name}=own/a.yaml")


def test_names_that_yaml_reads_as_numbers_are_names(listed):
    config("a", "init_from: 2024\npseudo_labels_of: 7\ntrain_sets: pseudo\n")
    assert listed("label", "a", "--seeds", "1") == [["pseudo_seed1", "7_seed1", "dump"]]
    config("b", "init_from: 2024\n")
    assert listed("train", "b") == [["b", "own/b.yaml", "dump", "--pretrained exp/2024"]]
    config("c", "class_map: true\npretrained: 5\n")
    assert listed("import", "c") == [["c", "own/c.yaml", "dump", "true", "5"]]
    config("d", "features: 3\n")
    assert "no such config" in listed("train", "d")


def test_wrong_arguments_are_refused_in_a_line(listed):
    config("a")
    Path("other").mkdir()
    Path("other/a.yaml").write_text("lr: 2\n")
    assert len(listed("train", "own/a.yaml", "a", "x=other/a.yaml")) == 2  # `a` is own/a.yaml
    for args, expected in [
        (["train", "nothing_such"], "nothing_such: no such config in own"),
        (["train", "own/none.yaml"], "own/none.yaml: no such config"),
        (["train", "x=own/none.yaml"], "own/none.yaml: no such config"),
        (["train", "a", "--rates", "1e-3"], "--rates 1e-3: head:encoder is expected"),
        (["train", "a", "--rates", "1e-3:"], "--rates 1e-3:: head:encoder is expected"),
        (["train", "a", "--seeds", "1", "--vary", "seed=3"], "--vary seed: --seeds sets it"),
        (["train", "a", "--rates", "1e-3:1e-4", "--vary", "encoder-lr=1"], "--vary encoder_lr: --rates sets it"),
        (["features", "a", "--seeds", "1,2"], "--seeds 1,2: not whole numbers (separate them by blanks)"),
        (["features", "a", "other/a.yaml"], "other/a.yaml: a is the experiment of own/a.yaml (give it as NAME=file)"),
        (["train", "a", "--vary", "pretrained=x/y,x_y"], "--vary: two of its combinations would be a_pretrained_x_y"),
        (["dance", "a"], "invalid choice: 'dance'"),
    ]:
        said = listed(*args)
        assert isinstance(said, str) and expected in said and said.count("\n") == 1


def test_vary_lists_each_combination_of_values_and_names_those_that_the_config_lacks(listed):
    config("a", "frozen_epochs: 6\nencoder_lr: 0.00005\n")
    rows = listed("train", "a", "--seeds", "1", "--vary", "clip_pooling=mean,max frozen-epochs=0,6.0")
    assert [(row[0], row[3]) for row in rows] == [
        ("a_clip_pooling_mean_frozen_epochs_0_seed1", "--seed 1 --clip-pooling mean --frozen-epochs 0"),
        ("a_clip_pooling_mean_seed1", "--seed 1 --clip-pooling mean"),  # 6 is its own value
        ("a_clip_pooling_max_frozen_epochs_0_seed1", "--seed 1 --clip-pooling max --frozen-epochs 0"),
        ("a_clip_pooling_max_seed1", "--seed 1 --clip-pooling max"),
    ]
    switched = listed("train", "a", "--vary", "freeze-batchnorm=true,false")
    assert [row[3] for row in switched] == ["--freeze-batchnorm", "--no-freeze-batchnorm"]
    assert listed("train", "a", "--vary", "encoder_lr=5e-5") == [["a", "own/a.yaml", "dump"]]
    assert listed("train", "a", "--vary", "pretrained=/of/x.pt")[0][0] == "a_pretrained__of_x.pt"  # one folder of exp/
    assert "--vary init-from=a,b: training does not read init_from" in listed("train", "a", "--vary", "init-from=a,b")
    assert "--vary a-b=2: a_b is given twice" in listed("train", "a", "--vary", "a_b=1 a-b=2")
    for text in ("frozen_epochs", "=1", "frozen_epochs=", "frozen_epochs=0,,6"):
        assert f"--vary {text}: KEY=VALUE,VALUE... is expected" in listed("train", "a", "--vary", text)


def test_what_is_imported_is_not_trained_and_is_scored_twice(listed):
    Path("map.tsv").write_text("class\tlabel\n")
    config("zero", "class_map: ../map.tsv\nencoder: atst_frame\npretrained: atst-f-strong\n")
    config("a")
    table = str(Path("map.tsv").resolve())
    assert [row[0] for row in listed("train", "zero", "a", "--seeds", "1 2")] == ["a_seed1", "a_seed2"]
    row = ["zero", "own/zero.yaml", "dump", table]
    assert listed("import", "zero", "a", "--seeds", "1 2") == [[*row, "atst-f-strong"]]
    assert listed("import", "zero", "a", "--vary", "mixup_alpha=0.1,0.3") == [[*row, "atst-f-strong"]]
    Path("downloads").mkdir()
    Path("downloads/atst_frame.pth").touch()
    assert listed("import", "zero", "--downloads", "downloads") == [[*row, "downloads/atst_frame.pth"]]
    assert listed("import", "zero", "--downloads", "downloads", "--pretrained", "x.pt") == [[*row, "x.pt"]]
    assert listed("import", "zero", "--pretrained", "none") == [[*row, "atst-f-strong"]]
    assert listed("score", "zero", "a") == listed("cross_fit", "zero", "a") == []
    for name, file in (("zero", "model.json"), ("a", "final.pt")):
        Path("exp", name).mkdir(parents=True)
        Path("exp", name, file).touch()
    assert [row[3:] for row in listed("score", "zero", "a")] == [["--post-processing csebbs"], []]
    Path("exp/zero/tuned.json").touch()
    assert [row[3:] for row in listed("score", "zero", "a")] == [["--tuned exp/zero/tuned.json"], []]
    assert listed("cross_fit", "zero", "a", "--score-args", "--bootstrap 9") == [
        [*row[:3], "--post-processing csebbs --cross-fit csebbs,threshold --bootstrap 9"]
    ]
    config("none", "class_map: ../map.tsv\n")
    assert "own/none.yaml: no published detector to import" in listed("import", "none")
    config("lost", "class_map: ../lost.tsv\n")
    assert "no such table" in listed("train", "lost")
