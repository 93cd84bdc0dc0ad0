"""The tagger: final norm, mean of the two leading tokens, head; and inconsistent configs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sed.errors import UserError
from sed.models.tagger import GridTagger, Tagger, build_any_tagger, build_tagger


def test_tags_are_of_the_mean_of_the_leading_tokens(small: Callable[..., dict[str, Any]]) -> None:
    torch.manual_seed(0)
    tagger = build_tagger(small(), 7).eval()
    assert len(tagger.encoder.blocks) == 3
    x = torch.randn(2, 1024, 64)
    tokens = tagger.head.norm(tagger.encoder.tokens(x))
    torch.testing.assert_close(tagger(x), tagger.head.mlp_head((tokens[:, 0] + tokens[:, 1]) / 2))
    assert tagger(x).shape == (2, 7)


def test_all_blocks_are_there_however_many_the_detector_keeps(small: Callable[..., dict[str, Any]]) -> None:
    assert len(build_tagger(small(ast_blocks=1), 2).encoder.blocks) == 3
    assert len(build_tagger(small(ast_depth=2, ast_blocks=3), 2).encoder.blocks) == 2


def test_inconsistent_configs_are_refused(small: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(UserError, match=r"not a multiple of 5 heads \(change the config\)"):
        build_tagger(small(ast_heads=5), 2)


def test_any_encoder_tags_by_mean_and_maximum_over_time(small: Callable[..., dict[str, Any]]) -> None:
    torch.manual_seed(0)
    tagger = build_any_tagger(small(encoder="cnn", cnn_width=0.25, input_frames=208), 7).eval()
    assert isinstance(tagger, GridTagger)
    x = torch.randn(2, 208, 64)
    logits, steps = tagger.logits_and_steps(x)
    assert steps.shape == (2, 52, 32) and torch.equal(tagger(x), logits)
    by_hand = torch.stack([step.mean(0) + step.max(0).values for step in tagger.encoder(x)[:, 0]])
    torch.testing.assert_close(logits, by_hand @ tagger.head.linear.weight.T + tagger.head.linear.bias)


def test_an_ast_tags_by_its_own_head(small: Callable[..., dict[str, Any]]) -> None:
    assert isinstance(build_any_tagger(small(), 7), Tagger)


def test_a_grid_tagger_needs_input_that_the_pools_leave_frames_of(small: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(UserError, match="cnn_pools leave no frames"):
        build_any_tagger(small(encoder="cnn", input_frames=2), 7)
