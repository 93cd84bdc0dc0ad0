"""The model card: text of the author and the training appears literally, without making headings, columns or HTML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_model import LABELS, call, pack_tiny, save_tiny

from sed.bin import pack
from sed.checkpoints.importers import IMPORTERS, LICENCES
from sed.prediction.card import licences_of_the_start

EVIL = "x\n---\n# evil\t<script>alert(1)</script> | y"


def body(folder: Path) -> str:
    """Return the card without its front matter."""
    return (folder / "README.md").read_text().split("\n---\n", 1)[1]


def headings(card: str) -> list[str]:
    return [line for line in card.splitlines() if line.startswith(("#", "---"))]


def test_anyone_s_words_make_no_headings_and_no_html(tmp_path: Path) -> None:
    pack_tiny(tmp_path)
    plain = body(tmp_path / "model")
    words = [word for name in ("--name", "--data", "--licence", "--intended-use") for word in (name, EVIL)]
    assert call(pack, *words, tmp_path / "exp", tmp_path / "other") == 0
    card = body(tmp_path / "other")
    assert "<script" not in card and card.count("evil") == 4
    assert len(headings(card)) == len(headings(plain))
    assert [line.count("|") for line in card.splitlines()] == [line.count("|") for line in plain.splitlines()]


def test_a_pack_states_how_its_experiment_was_trained(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    experiment = save_tiny(tmp_path / "exp")
    facts = {"command": f"egs/desed/run.sh --ast {tmp_path}/ast.pth", "git": "abc", "step": 7, "weights": "random"}
    (experiment / "info.json").write_text(json.dumps(facts))
    for source, folder in ((experiment, "model"), (tmp_path / "model", "again")):
        assert call(pack, source, tmp_path / folder) == 0
        training = body(tmp_path / folder).split("## Training\n\n")[1]
        assert training.splitlines() == [
            "- command: egs/desed/run.sh --ast ast.pth",
            "- git: abc",
            "- seed: 0",
            "- step: 7",
        ]
        stored = json.loads((tmp_path / folder / "model.json").read_text())["info"]
        assert stored["weights"] == "random"
    (experiment / "info.json").write_text("[]")
    assert call(pack, experiment, tmp_path / "third") == 2
    assert "info.json: not what training writes (train again, or remove it)" in capsys.readouterr().err


def test_a_card_names_its_network(tmp_path: Path) -> None:
    experiment = save_tiny(tmp_path / "exp")
    for which, named in (("teacher", "the teacher (moving average of the weights)"), ("student", "the student")):
        assert call(pack, "--which", which, experiment, tmp_path / which) == 0
        assert f"M parameters, {named}\n" in body(tmp_path / which)


def test_a_card_has_no_scores_of_another_network_than_the_packed_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = save_tiny(tmp_path / "exp")
    for name, attrs in (("one", {"which": "teacher"}), ("two", {"which": "student"}), ("mean", {"ensemble": ["a"]})):
        result = {
            "event_f1_macro": 0.5,
            "clips": 1,
            "clips_expected": 1,
            "input": {"kind": "", "path": "", "attrs": attrs},
        }
        result |= {"post_processing": {"steps": []}, "threshold": dict.fromkeys(LABELS, 0.5)}
        (experiment / name).mkdir()
        (experiment / name / "result.json").write_text(json.dumps(result))
    for which, kept in (("teacher", "one"), ("student", "two")):
        assert call(pack, "--which", which, experiment, tmp_path / which) == 0
        assert [name for name in ("one", "two", "mean") if f"| {name} | 1 of 1 |" in body(tmp_path / which)] == [kept]
        assert "mean: not in the card: scores of another network" in capsys.readouterr().err
        assert call(pack, tmp_path / which, tmp_path / f"{which}_again") == 0
        assert f"| {kept} | 1 of 1 |" in body(tmp_path / f"{which}_again")


def test_a_pack_that_is_packed_again_keeps_its_authors_words(tmp_path: Path) -> None:
    experiment = save_tiny(tmp_path / "exp")
    words = ["--data", "ten kitchens", "--licence", "CC-BY-4.0", "--intended-use", "kitchens only"]
    assert call(pack, *words, experiment, tmp_path / "model") == 0
    assert call(pack, "--threshold", 0.7, "--data", "eleven kitchens", tmp_path / "model", tmp_path / "quiet") == 0
    card = (tmp_path / "quiet" / "README.md").read_text()
    assert "license: cc-by-4.0\n" in card and "CC-BY-4.0\n" in card
    assert "kitchens only\n" in card and "eleven kitchens\n" in card and "ten kitchens" not in card


def test_a_card_names_the_sets_that_were_scored_with_other_post_processing(tmp_path: Path) -> None:
    experiment = save_tiny(tmp_path / "exp")
    for name, threshold in (("low", 0.3), ("usual", 0.5)):
        result = {"event_f1_macro": 0.5, "clips": 1, "clips_expected": 1, "post_processing": {"steps": []}}
        result["threshold"] = dict.fromkeys(LABELS, threshold)
        (experiment / name).mkdir()
        (experiment / name / "result.json").write_text(json.dumps(result))
    line = "Scored with other post-processing or thresholds than this model has: "
    for threshold, others in ((0.5, "low"), (0.3, "usual"), (0.4, "low, usual")):
        options = ["--post-processing", "none", "--threshold", threshold]
        assert call(pack, *options, experiment, tmp_path / str(threshold)) == 0
        assert f"\n\n{line}{others}.\n" in body(tmp_path / str(threshold))
    (experiment / "low" / "result.json").unlink()
    assert call(pack, experiment, tmp_path / "own") == 0
    assert line not in body(tmp_path / "own")


def test_a_pack_that_is_packed_again_keeps_its_network(tmp_path: Path) -> None:
    experiment = save_tiny(tmp_path / "exp")
    for source, folder in ((experiment, "model"), (tmp_path / "model", "again"), (tmp_path / "again", "third")):
        which = ["--which", "student"] if source is experiment else []
        assert call(pack, *which, source, tmp_path / folder) == 0
        assert "M parameters, the student\n" in body(tmp_path / folder)
        assert json.loads((tmp_path / folder / "model.json").read_text())["source"] == f"{source.name} (student)"


def test_the_licence_of_the_weights_that_training_started_from_is_named() -> None:
    start = "d/ATST-F_strong_1.pt"
    for encoder, pretrained, info, named in (
        ("atst_frame", start, {}, True),
        ("atst_frame", start, {"weights": "random"}, False),
        ("atst_frame", "none", {}, False),
        ("cnn", start, {}, False),
        ("ast", "ast.pth", {"weights": "random"}, False),
    ):
        found = licences_of_the_start({"encoder": encoder, "pretrained": pretrained}, info)
        assert len(found) == named, (encoder, pretrained, info)
        assert not named or ("strong" in found[0] and "MIT" in found[0] and "CC BY 4.0" in found[0])


def test_every_encoder_with_published_weights_has_a_licence() -> None:
    assert LICENCES.keys() == IMPORTERS.keys()
    assert "BSD-3-Clause" in licences_of_the_start({"encoder": "ast", "pretrained": "ast.pth"}, {})[0]
