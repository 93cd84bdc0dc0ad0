"""Models on a hub: pushed and pulled byte for byte, also after kills, without a trace of the author's machine."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from kills import begin, ended, forked
from tiny_model import LABELS, call, pack_tiny, write_sounds

from sed.bin import pack, predict, push
from sed.checkpoints import hub
from sed.checkpoints.pack_folder import NAMES
from sed.errors import UserError

pytest.importorskip("huggingface_hub")
from loopback_hub import Hub, loopback_hub

PLACE = "hf://our-lab/kitchen"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with loopback_hub(monkeypatch, tmp_path / "cache") as server:
        yield server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `exp` (an experiment), `model` (the same, packed) and a.wav."""
    folder = pack_tiny(tmp_path_factory.mktemp("made"))
    write_sounds(folder / "a.wav", 2)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES}


def killed(server: Hub, number: int, work: Callable[[], int]) -> int:
    """Run work in a process that is killed during its n-th request; return its exit code."""
    gate, opened = os.pipe()
    child = begin(lambda: work() if os.read(gate, 1) else 1)
    server.kill = (number, child)
    os.write(opened, b"x")
    os.close(gate)
    os.close(opened)
    code = ended(child)
    server.kill = None
    return code


def pushed(server: Hub) -> dict[str, bytes]:
    return {name: data for name, data in server.repositories["our-lab/kitchen"].items() if name != ".gitattributes"}


@pytest.mark.thorough
def test_what_is_pushed_comes_back_byte_for_byte_and_predicts_the_same(
    made: Path, server: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(push, made / "model", PLACE) == 0
    assert pushed(server) == files_of(made / "model")
    pulled = hub.local_model(PLACE)
    assert files_of(pulled) == files_of(made / "model")
    capsys.readouterr()
    events = []
    for model in (made / "model", PLACE, f"{PLACE}@main"):
        assert call(predict, "--model", model, "--threads", "1", made / "a.wav") == 0
        events.append(capsys.readouterr().out)
    assert events[0] == events[1] == events[2] and events[0].count("\n") > 1


def test_a_place_may_name_a_branch_a_tag_or_a_commit() -> None:
    for revision in ("main", "v1.0", "refs/pr/1", "0" * 40):
        assert hub.place_of(f"{PLACE}@{revision}") == ("our-lab/kitchen", revision)
    assert hub.place_of(PLACE) == ("our-lab/kitchen", None)
    for text in ("hf://kitchen", "hf://a/b/c", "hf://a/b@", "hf://a/-b", "hf:/a/b", "hf://a/b@x y"):
        with pytest.raises(UserError, match="not a model on a hub"):
            hub.place_of(text)


def test_files_beside_a_model_are_not_downloaded(made: Path, server: Hub) -> None:
    assert call(push, made / "model", PLACE) == 0
    server.repositories["our-lab/kitchen"]["recordings.zip"] = b"large"
    assert {path.name for path in hub.local_model(PLACE).iterdir()} == set(NAMES)


def test_an_experiment_is_packed_on_the_way(made: Path, server: Hub, tmp_path: Path) -> None:
    options = ["--data", "bursts", "--licence", "CC BY 4.0", "--private"]
    assert call(push, made / "exp", PLACE, *options) == 0
    assert server.private == ["our-lab/kitchen"]
    assert call(pack, made / "exp", tmp_path / "kitchen", *options[:4]) == 0
    assert pushed(server) == files_of(tmp_path / "kitchen")
    assert pushed(server)["labels.txt"].decode().splitlines() == LABELS
    import yaml

    matter = yaml.safe_load(pushed(server)["README.md"].decode().split("---\n")[1])
    assert matter["license"] == "cc-by-4.0" and matter["library_name"] == "ast-sed"
    (index,) = matter["model-index"]
    (result,) = index["results"]
    assert index["name"] == "kitchen" and result["dataset"]["name"] == "validation"
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {"event_f1_macro": 0.1234}


def test_nothing_that_is_pushed_identifies_its_author_or_machine(made: Path, server: Hub, tmp_path: Path) -> None:
    experiment = shutil.copytree(made / "exp", tmp_path / "exp")
    result = experiment / "validation" / "result.json"
    paths = {"command": f"python3 -m sed.bin.score --out {result}", "ground_truth": f"{Path.home()}/events.tsv"}
    result.write_text(json.dumps(json.loads(result.read_text()) | paths))
    assert call(push, experiment, PLACE, "--data", "bursts") == 0
    traces = {str(tmp_path), str(Path.home()), socket.gethostname(), os.environ.get("TMPDIR", "/tmp/")}
    traces |= {f"/{getpass.getuser()}/"}
    for name, data in pushed(server).items():
        assert not [trace for trace in traces if len(trace) > 3 and trace.encode() in data], name


@pytest.mark.thorough
def test_a_push_that_is_killed_at_any_request_is_made_whole_by_the_same_command(made: Path, server: Hub) -> None:
    """The repository is empty or whole after each kill; the large file is not sent twice."""
    kills = 0
    for number in range(1, 30):
        server.repositories.clear()
        server.objects.clear()
        code = killed(server, number, lambda: call(push, made / "model", PLACE))
        assert code in (0, -signal.SIGKILL), number
        if code == 0:
            break
        kills += 1
        assert not server.repositories.get("our-lab/kitchen") or pushed(server) in ({}, files_of(made / "model"))
        sent = len(server.objects)
        server.requests.clear()
        assert forked(lambda: call(push, made / "model", PLACE)) == 0
        assert pushed(server) == files_of(made / "model")
        assert sum(method == "PUT" for method, _ in server.requests) == 1 - sent
    assert kills >= 7  # create, list, validate, preupload, batch, the weights, commit; some versions request more


@pytest.mark.thorough
def test_a_pull_that_is_killed_at_any_request_is_made_whole_by_the_same_command(
    made: Path, server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    assert call(push, made / "model", PLACE) == 0
    kills = 0
    for number in range(1, 30):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / f"cache{number}"))
        code = killed(server, number, lambda: 0 if hub.local_model(PLACE) else 1)
        if code == 0:
            break
        kills += 1
        assert code == -signal.SIGKILL, number
        assert files_of(hub.local_model(PLACE)) == files_of(made / "model")
    assert kills >= len(NAMES)


def test_a_model_of_fewer_files_leaves_none_of_the_earlier_one(made: Path, server: Hub) -> None:
    assert call(push, made / "model", PLACE) == 0
    server.repositories["our-lab/kitchen"]["notes.md"] = b"theirs"
    assert call(push, made / "exp" / "final.pt", PLACE) == 0  # a checkpoint has no results
    assert {*pushed(server)} == {*NAMES, "notes.md"} - {"results.json"}


@pytest.mark.parametrize(
    "place", ["hf://kitchen", "hf://a/b/c", "our-lab/kitchen", "hf://a/b@", "hf://../b", "hf://a/b c", "hf://é/b"]
)
def test_an_address_that_is_not_a_hub_s_is_refused(place: str) -> None:
    with pytest.raises(UserError, match="not a model on a hub"):
        hub.place_of(place)


@pytest.mark.parametrize("place", ["hf://a/b--c", "hf://a/b.git", "hf://a/b-", f"hf://a/{'b' * 100}"])
def test_a_name_that_the_hub_does_not_allow_is_refused(place: str) -> None:
    with pytest.raises(UserError, match=rf"^{place}: .* \(correct the name\)$"):
        hub.local_model(place)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert not [line for line in lines if "Traceback" in line]
    return lines[-1]


@pytest.mark.thorough
def test_errors_of_the_hub_are_one_line(
    made: Path, server: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pull = ("--threads", "1", made / "a.wav")
    assert call(predict, "--model", PLACE, *pull) == 2
    assert "has no such model, or a private one" in said(capsys)
    assert call(push, made / "model", PLACE) == 0
    capsys.readouterr()
    assert call(predict, "--model", f"{PLACE}@v9", *pull) == 2
    assert "no such revision" in said(capsys)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert call(push, made / "model", PLACE) == 2
    assert "refuses it: 401" in said(capsys)
    server.repositories["our-lab/other"] = {"README.md": b"#"}
    assert call(predict, "--model", "hf://our-lab/other", *pull) == 2
    assert "no packed model of this project (it has no model.json)" in said(capsys)
    assert call(push, made / "model", PLACE, "--licence", "MIT") == 2
    assert "packed already (leave out --licence" in said(capsys)


@pytest.mark.parametrize("private", [False, True])
def test_a_push_goes_to_its_branch_and_leaves_the_visibility_to_the_organisation(
    made: Path, monkeypatch: pytest.MonkeyPatch, private: bool
) -> None:
    import huggingface_hub

    api = Mock()
    api.list_repo_files.return_value = ["results.json", "recordings.zip"]
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    hub.push(made / "model", hub.Place("our-lab/kitchen", "v2"), private=private, message="new")
    assert api.create_repo.call_args.kwargs["private"] == (private or None)
    assert api.list_repo_files.call_args.kwargs["revision"] == api.create_commit.call_args.kwargs["revision"] == "v2"
    assert {one.path_in_repo for one in api.create_commit.call_args.kwargs["operations"]} == set(NAMES)


def test_damage_on_the_way_is_seen(made: Path, server: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(push, made / "model", PLACE) == 0
    weights = bytearray(server.repositories["our-lab/kitchen"]["model.safetensors"])
    weights[-1] ^= 1
    server.repositories["our-lab/kitchen"]["model.safetensors"] = bytes(weights)
    assert call(predict, "--model", PLACE, "--threads", "1", made / "a.wav") == 2
    assert "damaged weights: its checksum does not match" in said(capsys)


def test_a_pack_whose_card_has_no_front_matter_is_not_pushed(
    made: Path, server: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(pack, made / "exp", tmp_path / "model") == 0
    card = tmp_path / "model" / "README.md"
    card.write_text(card.read_text().split("---\n\n", 1)[1])
    assert call(push, tmp_path / "model", PLACE) == 2
    assert "its card has no front matter" in said(capsys) and not server.repositories


def test_without_the_package_it_is_one_line(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for arguments in ((predict, "--model", PLACE, made / "a.wav"), (push, made / "model", PLACE)):
        assert call(*arguments) == 2
        assert "the package huggingface_hub is missing (pip install '.[hub]')" in said(capsys)


def test_with_a_version_that_uses_requests_a_hub_that_does_not_answer_is_one_line(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in for huggingface_hub 0.36: its errors, and submodules that `import huggingface_hub` does not import."""
    status = type("HfHubHTTPError", (requests.HTTPError,), {})
    local = type("LocalEntryNotFoundError", (status, FileNotFoundError, ValueError), {})
    others = {name: type(name, (status,), {}) for name in ("RepositoryNotFoundError", "RevisionNotFoundError")}
    attributes: dict[str, dict[str, Any]] = {
        "huggingface_hub": {"__path__": []},
        "huggingface_hub.constants": {"ENDPOINT": "http://hub"},
        "huggingface_hub.errors": {
            **others,
            "HfHubHTTPError": status,
            "HFValidationError": type("HFValidationError", (ValueError,), {}),
            "LocalEntryNotFoundError": local,
        },
    }
    for name, values in attributes.items():
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        vars(sys.modules[name]).update(values)
    for error in (local, requests.ConnectionError):
        failing = Mock(side_effect=error("refused"))
        monkeypatch.setattr("huggingface_hub.snapshot_download", failing, raising=False)
        assert call(predict, "--model", PLACE, "--threads", "1", made / "a.wav") == 1
        assert said(capsys).endswith(f"{PLACE}: http://hub does not answer: refused (try again)")


def test_paths_of_models_stay_as_they_are(tmp_path: Path) -> None:
    assert hub.local_model(str(tmp_path)) == tmp_path == hub.local_model(tmp_path)
    assert str(hub.place_of("hf://a/b@v1.0")) == "hf://a/b@v1.0"
