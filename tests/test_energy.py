"""energy.json: sums over runs, measured and estimated parts; --energy changes nothing in config.yaml."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sed.energy import ESTIMATED, FILE, MEASURED, add_energy, metered, read_energy, relative_to, write_energy
from sed.errors import UserError


class CPU:
    """Stand-in for codecarbon's processor."""

    def __init__(self, mode: str) -> None:
        self._mode = mode


@pytest.fixture
def codecarbon(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """codecarbon with energies of the test's choice, in kWh."""
    state = SimpleNamespace(energy={"cpu": 1.0, "gpu": 2.0, "ram": 0.25}, mode="intel_rapl", options={}, stopped=0)

    class Tracker:
        def __init__(self, **options: Any) -> None:
            state.options = options
            self._hardware = [CPU(state.mode)]

        def start(self) -> None:
            pass

        def stop(self) -> None:
            state.stopped += 1
            self.final_emissions_data = SimpleNamespace(**{f"{k}_energy": v for k, v in state.energy.items()})

    module = ModuleType("codecarbon")
    module.OfflineEmissionsTracker = Tracker  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    return state


def test_parts_say_whether_they_are_measured(codecarbon: SimpleNamespace, tmp_path: Path) -> None:
    with metered(tmp_path / "new" / FILE, "inference", again=False):
        pass
    add_energy(tmp_path / "new" / FILE, "inference", {"macs": 7})
    found = read_energy(tmp_path / "new" / FILE)["inference"]
    assert found["parts"] == {
        "cpu": {"kwh": 1.0, "how": MEASURED},
        "gpu": {"kwh": 2.0, "how": MEASURED},
        "ram": {"kwh": 0.25, "how": ESTIMATED},
    }
    assert (found["kwh"], found["how"], found["macs"]) == (3.25, ESTIMATED, 7)
    assert codecarbon.options["save_to_api"] is codecarbon.options["save_to_file"] is False
    codecarbon.mode, codecarbon.energy = "cpu_load", {"cpu": 1.0, "gpu": 0.0, "ram": 0.0}
    with metered(tmp_path / FILE, "inference", again=False):
        pass
    assert read_energy(tmp_path / FILE)["inference"]["parts"] == {"cpu": {"kwh": 1.0, "how": ESTIMATED}}
    codecarbon.mode = "intel_rapl"
    with metered(tmp_path / FILE, "inference", again=False):
        pass
    found = read_energy(tmp_path / FILE)["inference"]
    assert (found["kwh"], found["how"], found["runs"]) == (1.0, MEASURED, 1)


def test_a_training_that_goes_on_adds_up_and_counts_what_was_killed(
    codecarbon: SimpleNamespace, tmp_path: Path
) -> None:
    file = tmp_path / FILE
    with pytest.raises(KeyboardInterrupt), metered(file, "training", again=True):
        raise KeyboardInterrupt
    assert read_energy(file)["training"]["kwh"] == 3.25
    write_energy(file, {"training": {**read_energy(file)["training"], "running": 1, "runs": 2}})  # one that was killed
    codecarbon.mode = "constant"
    with metered(file, "training", again=True):
        assert read_energy(file)["training"]["running"] == 1
    found = read_energy(file)["training"]
    assert (found["kwh"], found["runs"], found["killed"], found["running"]) == (6.5, 3, 1, 0)
    assert found["parts"]["cpu"] == {"kwh": 2.0, "how": ESTIMATED}
    assert codecarbon.stopped == 2


@pytest.mark.usefixtures("codecarbon")
def test_other_work_in_the_file_stays_and_a_damaged_file_is_begun_again(tmp_path: Path) -> None:
    file = tmp_path / FILE
    damages = ["{", "[]", '{"inference": 5}', '{"inference": {"kwh": 1e999}}', '{"inference": {"runs": "x"}}']
    damages += ['{"inference": {"seconds": null}}', '{"inference": {"parts": {"cpu": 3}}}']
    damages += ['{"inference": {"parts": {"cpu": {"kwh": 1}}}}']  # neither measured nor estimated
    for damaged in damages:
        file.write_text(damaged)
        write_energy(file, {"training": {"kwh": 9}})
        with metered(file, "inference", again=True):
            pass
        assert json.loads(file.read_text())["training"] == {"kwh": 9}
        assert "inference" in read_energy(file)


def test_without_codecarbon_it_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(UserError, match=r"--energy needs codecarbon \(pip install"):
        metered(tmp_path / FILE, "training", again=True).__enter__()
    assert not (tmp_path / FILE).exists()


def test_kwh_are_multiples_of_the_baselines_on_the_same_device(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    ours = {what: {"kwh": 3.0, "device": "A"} for what in ("training", "inference")}
    with pytest.raises(UserError, match=r"baseline\.json: no kWh of training or inference"):
        relative_to(baseline, ours)
    write_energy(baseline, {"training": {"kwh": 0.5, "epochs": 10, "device": "A"}})
    with pytest.raises(UserError, match=r"baseline\.json: no kWh of inference in it"):
        relative_to(baseline, {"inference": ours["inference"]})
    assert relative_to(baseline, ours) == {"training": {"kwh": 0.5, "epochs": 10, "ratio": 6.0}}
    write_energy(baseline, {"inference": {"kwh": 2.0, "device": "A"}})
    assert relative_to(baseline, ours)["inference"] == {"kwh": 2.0, "ratio": 1.5}
    write_energy(baseline, {"inference": {"kwh": 2.0, "device": "B"}})
    with pytest.raises(UserError, match="inference on B, not on A"):
        relative_to(baseline, ours)


@pytest.mark.thorough
@pytest.mark.usefixtures("codecarbon")
def test_train_and_infer_write_it_beside_the_result(tmp_path: Path, dump: Path, config_file: Path) -> None:
    from tiny_model import call

    from sed.bin import infer, train

    exp, plain = tmp_path / "exp", tmp_path / "plain"
    options = ["--config", config_file, "--epochs", 1, "--steps-per-epoch", 2, "--loggers", "jsonl"]
    assert call(train, *options, "--energy", dump, exp) == 0
    assert call(train, *options, dump, plain) == 0
    assert (exp / "config.yaml").read_text() == (plain / "config.yaml").read_text()
    assert not (plain / FILE).exists()
    training = read_energy(exp / FILE)["training"]
    assert (training["kwh"], training["clips"]) == (3.25, 24)  # two steps of 12 clips
    out = exp / "synth_valid" / "scores.h5"
    # One job of two is refused: what is measured is the whole machine's energy.
    of_two = ["--model", exp, "--energy", "--part", "1/2", "--device", "cpu"]
    assert call(infer, *of_two, dump / "synth_valid", out) == 2
    assert call(infer, "--model", exp, "--energy", "--device", "cpu", dump / "synth_valid", out) == 0
    found = read_energy(out.parent / FILE)
    assert found["training"] == training
    inference = found["inference"]
    # synth_valid has 7 clips of 1 s; the other number is of 10 s.
    assert inference["macs"] * 10 == 7 * inference["macs_of_10_seconds"]
    # 24 clips: student forward, backward (counted as two forward passes), teacher forward.
    assert training["macs"] == 4 * 24 * inference["macs"] / 7
    assert "baseline" not in found
    # --energy-baseline is refused without --energy.
    again = ["--model", exp, "--device", "cpu", "--energy-baseline", out.parent / FILE, dump / "synth_valid"]
    again_out = tmp_path / "x" / "scores.h5"
    assert call(infer, *again, again_out) == 2
    assert call(infer, "--energy", *again, again_out) == 0
    assert read_energy(tmp_path / "x" / FILE)["baseline"] == {
        "training": {"kwh": 3.25, "epochs": 1, "ratio": 1.0},
        "inference": {"kwh": 3.25, "ratio": 1.0},
    }
    # Later runs into the same folder keep neither the comparison nor the training of another model.
    assert call(infer, "--model", exp / "final.pt", "--energy", "--device", "cpu", dump / "synth_valid", again_out) == 0
    assert read_energy(again_out.parent / FILE).keys() == {"training", "inference"}
    assert call(infer, "--model", plain, "--energy", "--device", "cpu", dump / "synth_valid", again_out) == 0
    assert read_energy(again_out.parent / FILE).keys() == {"inference"}
