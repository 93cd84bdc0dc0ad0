"""The tiny detectors of `tiny_model`, made once per session."""

import pytest
from tiny_model import save_tiny


@pytest.fixture(scope="session")
def experiment(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "ast")


@pytest.fixture(scope="session")
def crnn_experiment(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "crnn", "crnn")
