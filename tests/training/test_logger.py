"""Registry of loggers: each can be built, and gets the values of a training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_training import rows_of, trainer_of

from sed.config import default_options
from sed.errors import UserError
from sed.training import logger
from sed.training.logger import LOGGERS, logger_opener
from sed.training.run_options import RUNTIME
from sed.training.step import LOGGED

EXTRAS = ("wandb", "mlflow")
LOGGER = """
OPTIONS = {"dict_prefix": {"default": "run", "help": "what every name starts with"}}
OPENED = []

class DictLogger:
    def __init__(self, folder, step, config):
        self.folder, self.step, self.prefix = folder, step, config.get("dict_prefix", "?")
        self.rows, self.texts, self.pictures, self.closed = {}, [], [], False
        OPENED.append(self)

    def scalars(self, step, values):
        for name, value in values.items():
            self.rows.setdefault(f"{self.prefix}/{name}", []).append((step, value))

    def text(self, step, message):
        self.texts.append(message)

    def picture(self, step, name, image):
        self.pictures.append((step, name, image.shape))

    def close(self):
        self.closed = True
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Add a logger as a user would: one file and one line of the registry."""
    (tmp_path / "dict_logger.py").write_text(LOGGER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(LOGGERS, "dict", "dict_logger:DictLogger")
    yield lambda: sys.modules["dict_logger"].OPENED  # type: ignore[attr-defined]
    sys.modules.pop("dict_logger", None)


@pytest.mark.parametrize("name", list(LOGGERS))
def test_every_logger_of_the_registry_fulfils_the_protocol(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in EXTRAS:
        pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    log = logger_opener({**default_options("sed.training.logger"), "loggers": [name]})(tmp_path, 0)
    log.scalars(1, {"train/loss": 0.5})
    log.text(1, "epoch 1/1")
    log.picture(1, "posteriors/a", np.zeros((4, 5, 3), np.uint8))
    log.close()
    assert bool(list(tmp_path.iterdir())) == (name != "none")


@pytest.mark.thorough
def test_a_training_logs_losses_rates_scores_and_events(
    added: Callable[[], list[Any]], dump: Path, tiny_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = {**tiny_config(valid_set="synth_valid", lr=1e-2, loggers=["dict", "none", "dict"]), "dict_prefix": "x"}
    trainer_of(config, dump, tmp_path / "exp").run()
    (log,) = added()  # named twice, opened once
    assert log.folder == tmp_path / "exp" and log.step == 0 and log.closed
    names = {f"x/train/{name}" for name in LOGGED} | {"x/lr/encoder", "x/lr/head", "x/clips_per_second"}
    assert set(log.rows) == names | {"x/valid/score", "x/valid/frame_f1", "x/valid/frame_loss"}
    rows = rows_of(tiny_config(lr=1e-2, valid_set="synth_valid"), dump, tmp_path / "again")
    for place, name in enumerate(LOGGED):
        assert log.rows[f"x/train/{name}"] == [(step, row[place]) for step, row in enumerate(rows, 1)]
    assert [step for step, _ in log.rows["x/valid/score"]] == [6, 12]
    assert dict(log.rows["x/lr/head"])[6] == 1e-2
    assert [step for step, _, _ in log.pictures] == [6, 6, 12, 12]
    assert len({name for _, name, _ in log.pictures}) == 2 == config["log_pictures"]
    messages = [text.split(":")[0] for text in log.texts]
    assert messages == ["epoch 1/2 step 6/12", "validation", "epoch 2/2 step 12/12", "validation"]


def test_an_unknown_logger_is_refused_before_any_work(
    tiny_config: Callable[..., dict[str, Any]], dump: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"--loggers comet: unknown .one of {', '.join(LOGGERS)}"):
        trainer_of(tiny_config(loggers=["tensorboard", "comet"]), dump, tmp_path / "exp")
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize("name", EXTRAS)
def test_a_tracker_that_is_not_installed_is_one_line_before_any_work(
    name: str, tiny_config: Callable[..., dict[str, Any]], dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"sed.training.loggers.{name}", raising=False)
    with pytest.raises(
        UserError, match=rf"^--loggers {name}: the package {name} is missing \(pip install '.\[{name}\]'"
    ):
        trainer_of(tiny_config(loggers=["tensorboard", name]), dump, tmp_path / "exp")
    assert not (tmp_path / "exp").exists()


@pytest.mark.thorough
def test_loggers_may_change_on_resume_and_are_in_no_checkpoint(
    tiny_config: Callable[..., dict[str, Any]], dump: Path, tmp_path: Path
) -> None:
    assert set(default_options("sed.training.logger")) == set(logger.RUNTIME) <= set(RUNTIME)
    finals = []
    for name in ("none", "jsonl"):
        trainer = trainer_of(tiny_config(loggers=[name], epochs=1), dump, tmp_path / name)
        trainer.run()
        finals.append((tmp_path / name / "final.pt").read_bytes())
    assert finals[0] == finals[1]


def test_several_loggers_get_the_same() -> None:
    got: list[tuple[str, Any]] = []

    class Keeps:
        def __init__(self, name: str) -> None:
            self.name = name

        def scalars(self, step: int, values: Mapping[str, float]) -> None:
            got.append((self.name, (step, dict(values))))

        def text(self, step: int, message: str) -> None:
            got.append((self.name, (step, message)))

        def picture(self, step: int, name: str, image: np.ndarray) -> None:
            got.append((self.name, (step, name, image.shape)))

        def close(self) -> None:
            got.append((self.name, "closed"))

    both = logger.Several([Keeps("a"), Keeps("b")])
    both.scalars(3, {"x": 1.0})
    both.text(3, "hello")
    both.picture(3, "x", np.zeros((1, 2, 3), np.uint8))
    both.close()
    for name in "ab":
        assert [what for who, what in got if who == name] == [
            (3, {"x": 1.0}),
            (3, "hello"),
            (3, "x", (1, 2, 3)),
            "closed",
        ]


@pytest.mark.parametrize("failing", [0, 1])
def test_all_loggers_are_closed_even_if_one_fails(failing: int) -> None:
    closed = []

    class Fragile(logger.NoLogger):
        def close(self) -> None:
            closed.append(self)
            if self is loggers[failing]:
                raise OSError("disk full")

    loggers = [Fragile(), Fragile()]
    with pytest.raises(OSError, match="disk full"):
        logger.Several(loggers).close()
    assert set(closed) == set(loggers)
