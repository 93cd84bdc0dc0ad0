"""FTE against the paper's full computation."""

import pytest
import torch

from sed.config import default_options
from sed.models.detector import build_detector
from sed.models.frequency_transformer import FrequencyTransformer


def naive(fte: FrequencyTransformer, grid: torch.Tensor) -> torch.Tensor:
    """Compute FTE as the paper writes it, one time step of one clip at a time, all tokens through every block."""
    clips = []
    for clip in grid:
        frames = []
        for t in range(clip.shape[1]):
            x = torch.cat([fte.token[0, [t if fte.token.shape[1] > 1 else 0]], clip[:, t]]).unsqueeze(0)
            for block in fte.blocks:
                x = block(x)
            frames.append(fte.norm(x)[0, 0])
        clips.append(torch.stack(frames))
    return torch.stack(clips)


@pytest.mark.parametrize("blocks, tokens", [(1, 1), (2, 1), (3, 1), (2, 5)])
def test_fte_equals_the_full_computation(blocks, tokens):
    torch.manual_seed(0)
    fte = FrequencyTransformer(dim=16, blocks=blocks, heads=4, tokens=tokens)
    torch.nn.init.normal_(fte.token)  # at its small start, the first norm divides by next to nothing
    grid = torch.randn(2, 12, 5, 16, requires_grad=True)
    short, full = fte(grid), naive(fte, grid)
    torch.testing.assert_close(short, full, rtol=0, atol=1e-5)
    weights = [grid, *fte.parameters()]
    target = torch.randn_like(full) / full.numel() ** 0.5
    for a, b in zip(
        torch.autograd.grad((short * target).sum(), weights),
        torch.autograd.grad((full * target).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_fte_sees_its_own_time_step_only():
    torch.manual_seed(0)
    fte = FrequencyTransformer(dim=16)
    grid = torch.randn(1, 12, 6, 16)
    changed = grid.clone()
    changed[:, :, 3] = torch.randn(12, 16)
    moved = (fte(changed) - fte(grid)).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [False, False, False, True, False, False]


@pytest.mark.parametrize("which, tokens", [("shared", 1), ("per_step", 101)])
def test_the_token_starts_with_the_spread_of_the_config(which, tokens):
    config = {**default_options("sed.features.logmel", "sed.models.detector"), "ast_dim": 192, "ast_heads": 3}
    for spread in (0.0, 0.02, 0.5):
        fte = build_detector({**config, "fte_token": which, "fte_token_spread": spread}, 10).pooling
        assert isinstance(fte, FrequencyTransformer) and fte.token.shape == (1, tokens, 192)
        assert fte.token.std().item() == pytest.approx(spread, rel=0.2)
