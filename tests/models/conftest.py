import pytest

from sed.config import Parser
from sed.models import detector


@pytest.fixture
def config():
    """Function: the model's default options, some replaced."""

    def make(**values):
        parser = Parser("test")
        detector.add_arguments(parser)
        defaults = vars(parser.parse_args([]))
        assert not values.keys() - defaults.keys()
        return {**defaults, **values}

    return make


@pytest.fixture
def small(config):
    """Function: as `config`, for a model that a CPU runs at once."""

    def make(**values):
        sizes = {
            "mel_bins": 64,
            "ast_dim": 48,
            "ast_heads": 3,
            "ast_depth": 3,
            "ast_blocks": 3,
            "stride_freq": 16,
            "gru_units": 24,
        }
        return config(**{**sizes, **values})

    return make
