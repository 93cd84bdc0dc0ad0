"""Published checkpoints, made here in both layouts: equal outputs, and refusals that name the keys."""

import pytest
import torch
import torch.nn.functional as F

from sed.checkpoints.ast_layouts import Mismatch, export_published, fit_positions, load_encoder, to_tagger
from sed.models.ast import LEADING
from sed.models.detector import build_detector
from sed.models.tagger import build_tagger


@pytest.fixture
def tagger(small):
    torch.manual_seed(0)
    return build_tagger(small(), 5).eval()


@pytest.fixture
def authors(tagger):
    """Return a state dict like the authors' file: with their prefix, and DeiT's leftover classifiers."""
    state = export_published(tagger.encoder, tagger.head)
    state["module.v.head.weight"] = torch.zeros(1000, 48)
    state["module.v.head_dist.bias"] = torch.zeros(1000)
    return state


def hugging_face(state):
    """Rename the authors' layout to Hugging Face's, by an independent table."""
    trunk, result = "audio_spectrogram_transformer.", {}
    names = {
        "cls_token": "embeddings.cls_token", "dist_token": "embeddings.distillation_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight", "norm.bias": "layernorm.bias",
    }  # fmt: skip
    parts = {
        "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
    }  # fmt: skip
    for name, value in state.items():
        name = name.removeprefix("module.")
        if name.startswith("mlp_head."):
            result[name.replace("mlp_head.0", "classifier.layernorm").replace("mlp_head.1", "classifier.dense")] = value
        elif name.startswith("v.blocks."):
            _, _, number, rest = name.split(".", 3)
            part, kind = rest.rsplit(".", 1)
            if part == "attn.qkv":
                for piece, which in zip(value.chunk(3), ("query", "key", "value"), strict=True):
                    result[f"{trunk}encoder.layer.{number}.attention.attention.{which}.{kind}"] = piece
            else:
                result[f"{trunk}encoder.layer.{number}.{parts[part]}.{kind}"] = value
        elif not name.startswith(("v.head.", "v.head_dist.")):
            result[trunk + names[name.removeprefix("v.")]] = value
    return result


def test_both_layouts_are_the_same_function(small, tagger, authors):
    x = torch.randn(2, 1024, 64)
    with torch.inference_mode():
        expected = tagger(x)
        for state in (authors, hugging_face(authors), {k.removeprefix("module."): v for k, v in authors.items()}):
            other = build_tagger(small(), 5).eval()
            ours, has_head = to_tagger(state, other)
            other.load_state_dict(ours)
            assert has_head and torch.equal(other(x), expected)


def test_without_a_classifier_the_encoder_loads(small, tagger, authors):
    state = {
        name.removeprefix("audio_spectrogram_transformer."): value
        for name, value in hugging_face(authors).items()
        if not name.startswith("classifier.")
    }
    assert to_tagger(state, tagger)[1] is False
    detector = build_detector(small(ast_blocks=2), 3).eval()
    load_encoder(detector.encoder, state, tagger)
    x = torch.randn(1, 1024, 64)
    hidden = tagger.encoder.embed(x)
    for block in tagger.encoder.blocks[:2]:
        hidden = block(hidden)
    torch.testing.assert_close(detector.encoder.tokens(x), hidden, rtol=0, atol=0)


def test_refusals_name_the_keys(tagger, authors):
    def refusal(**changes):
        state = {**authors, **changes}
        with pytest.raises(Mismatch) as refused:
            to_tagger({name: value for name, value in state.items() if value is not None}, tagger)
        return str(refused.value)

    key = "module.v.blocks.1.attn.qkv.weight"
    assert "missing: v.blocks.1.attn.qkv.weight" in refusal(**{key: None})
    assert "unexpected: module.v.blocks.7.norm1.weight" in refusal(**{"module.v.blocks.7.norm1.weight": torch.zeros(4)})
    assert f"misshapen: {key} [144, 47] for [144, 48]" in refusal(**{key: torch.zeros(144, 47)})
    assert "misshapen: module.v.cls_token [1, 48] for [1, 1, 48]" in refusal(
        **{"module.v.cls_token": torch.zeros(1, 48)}
    )
    assert "missing: mlp_head.1.bias" in refusal(**{"module.mlp_head.1.bias": None})
    assert f"{key} has values that are not finite" in refusal(**{key: torch.full((144, 48), float("nan"))})
    renamed = refusal(**{key: None, "module.v.blocks.1.attn.in_proj.weight": torch.zeros(144, 48)})
    assert "missing" in renamed and "unexpected" in renamed
    # 405 patches are neither the published number nor a multiple of the four bands of `small`
    misshapen = refusal(**{"module.v.pos_embed": torch.zeros(1, LEADING + 405, 48)})
    assert "misshapen: module.v.pos_embed" in misshapen


@pytest.mark.parametrize("state", [{}, {"conv.weight": torch.zeros(3)}])
def test_another_architecture_is_refused(tagger, state):
    with pytest.raises(Mismatch, match="not an AST"):
        to_tagger(state, tagger)


@pytest.mark.parametrize("target", [(12, 101), (12, 50), (12, 51), (12, 200), (4, 101), (6, 64), (15, 120)])
def test_positions_are_fitted_as_the_release_does(target):
    """Follow the release step by step: time, then frequency; fewer cut from the middle, more interpolated."""
    torch.manual_seed(0)
    positions = torch.randn(1, LEADING + 12 * 101, 8)
    bands, frames = target
    grid = positions[:, 2:].reshape(1, 12 * 101, 8).transpose(1, 2).reshape(1, 8, 12, 101)
    if frames < 101:
        grid = grid[:, :, :, 50 - int(frames / 2) : 50 - int(frames / 2) + frames]
    else:
        grid = F.interpolate(grid, size=(12, frames), mode="bilinear")
    if bands < 12:
        grid = grid[:, :, 6 - int(bands / 2) : 6 - int(bands / 2) + bands, :]
    elif bands > 12:
        grid = F.interpolate(grid, size=(bands, frames), mode="bilinear")
    expected = torch.cat([positions[:, :2], grid.reshape(1, 8, bands * frames).transpose(1, 2)], 1)
    torch.testing.assert_close(fit_positions(positions, target), expected)


def test_a_checkpoint_of_other_clip_lengths_loads(small, authors):
    short = build_tagger(small(input_frames=300), 5)
    ours, _ = to_tagger(authors, short)
    assert ours["encoder.pos_embed"].shape == short.encoder.pos_embed.shape
