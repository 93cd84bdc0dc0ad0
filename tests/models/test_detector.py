import pytest
import torch
from torch import nn

from sed.errors import UserError
from sed.models.decoders import DECODERS
from sed.models.detector import build_detector, load_weights
from sed.models.encoders import ENCODERS
from sed.models.gru_decoder import DIRECTIONS
from sed.training.gpu.gru_backend import use_bf16

SYSTEMS = {"ast_gru": {"pooling": "mean", "upsample": 1}, "ast_sed": {"pooling": "fte", "upsample": 10}}


@pytest.mark.parametrize("system, millions", [("ast_gru", 89.7), ("ast_sed", 103.9)])
def test_has_its_number_of_parameters_at_the_papers_sizes(config, system, millions):
    """Count by hand from the sizes; the paper states no numbers. `millions`: what egs/desed/README.md states."""
    with torch.device("meta"):
        detector = build_detector(config(**SYSTEMS[system]), 10)
    block = 12 * 768**2 + 13 * 768  # q, k, v, projection and MLP, with biases, and two norms
    # patches with biases, positions of 12 bands x 101 steps and two tokens, these tokens, a norm
    encoder = 10 * block + 257 * 768 + (12 * 101 + 2) * 768 + 2 * 768 + 2 * 768
    fte = 2 * block + 768 + 2 * 768  # a token, a norm
    # two directions of three gates with two biases, on the encoder's frames and on both directions' states
    gru = 2 * 3 * 768 * (768 + 768 + 2) + 2 * 3 * 768 * (2 * 768 + 768 + 2)
    expected = encoder + gru + 10 * (2 * 768 + 1) + (fte if system == "ast_sed" else 0)
    assert sum(p.numel() for p in detector.parameters()) == expected
    assert round(expected / 1e6, 1) == millions


@pytest.mark.parametrize("upsample", [1, 2, 5, 10])
def test_ten_seconds_are_100_encoder_frames_upsampled(small, upsample):
    detector = build_detector(small(upsample=upsample), 7).eval()
    output = detector(torch.zeros(1, 1024, 64))
    assert output.logits.shape == (1, 100 * upsample, 7)
    assert detector.num_frames == 100 * upsample
    assert detector.frame_seconds == pytest.approx(0.1 / upsample)


class TimeCode(nn.Module):
    """Substitute of the Bi-GRU that returns its input twice (both directions)."""

    def forward(self, x):
        return torch.cat([x, x], -1), None


@pytest.mark.parametrize("upsample", [1, 2, 5, 10])
def test_an_event_at_t_comes_out_at_t(config, upsample):
    """A planted time code: patches average the features' times, everything behind leaves values as they are.

    The patches of the published AST are 16 frames wide, one every 10. Output frames have the mean time of their patch,
    0.075 s after its start; no frame is further than half a patch, 0.08 s, from its own time.
    """
    detector = build_detector(
        config(mel_bins=16, ast_dim=1, ast_heads=1, ast_blocks=1, upsample=upsample, pooling="mean", gru_units=1), 1
    )
    nn.init.constant_(detector.encoder.patch_embed.proj.weight, 1 / 256)
    nn.init.zeros_(detector.encoder.patch_embed.proj.bias)
    for parameter in (detector.encoder.pos_embed, *detector.encoder.blocks[0].parameters()):
        nn.init.zeros_(parameter)
    detector.norm, detector.decoder.gru = nn.Identity(), TimeCode()
    nn.init.constant_(detector.classifier.weight, 0.5)
    nn.init.zeros_(detector.classifier.bias)
    times = torch.arange(1024) * 0.01
    said = detector(times.view(1, 1024, 1).expand(1, 1024, 16)).logits[0, :, 0]
    middle = (torch.arange(detector.num_frames) + 0.5) * detector.frame_seconds
    patch_middle = 0.075  # mean of 0, 0.01, ..., 0.15 s
    patch_start = (middle / 0.1).floor() * 0.1
    torch.testing.assert_close(said, patch_start + patch_middle, rtol=0, atol=1e-4)
    assert (said - middle).abs().max() < 0.08


@pytest.mark.thorough
@pytest.mark.parametrize("values", [*SYSTEMS.values(), {"encoder": "crnn", "upsample": 1, "clip_pooling": "attention"}])
def test_a_clip_does_not_depend_on_its_batch(small, values):
    torch.manual_seed(0)
    detector = build_detector(small(**values), 10).eval()
    batch = torch.randn(3, 1024, 64)
    batch[1, 300:] = 0  # a short clip, padded
    with torch.inference_mode():
        together = detector(batch)
        for row in range(3):
            alone = detector(batch[row : row + 1])
            torch.testing.assert_close(together.logits[row], alone.logits[0], rtol=0, atol=1e-5)
            torch.testing.assert_close(together.clip[row], alone.clip[0], rtol=0, atol=1e-5)


@pytest.mark.thorough
def test_every_parameter_gets_a_gradient(small):
    detector = build_detector(small(clip_pooling="attention"), 10)
    output = detector(torch.randn(2, 1024, 64))
    (output.logits.square().mean() + output.clip.mean()).backward()
    without = [name for name, p in detector.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize("implementation", [None, use_bf16], ids=["torch", "bf16_gru"])
@pytest.mark.parametrize(
    "values", [*({"decoder": name} for name in DECODERS), *({"gru_directions": name} for name in DIRECTIONS)], ids=str
)
def test_outputs_are_float32_under_autocast(small, values, implementation):
    """Test evaluation and training, also with training's GRU; values are near those in float32.

    The encoder is a CNN, since its output is bf16 under autocast; an encoder that ends with a norm returns float32.
    """
    torch.manual_seed(0)
    encoder = {"encoder": "fbcrnn", "fbcrnn_width": 0.1, "pooling": "mean", "mel_bins": 16, "input_frames": 60}
    sizes = {**encoder, "upsample": 1, "clip_seconds": 0.6, "head_hidden": 8, "conformer_dim": 24}
    detector = build_detector(small(**{**sizes, **values}), 3).eval()
    x = torch.randn(2, 60, 16)
    with torch.inference_mode():
        expected = detector(x)
    if implementation is not None:
        implementation(detector)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            output = detector(x)
        trained = detector.train()(x)
    for found in (output, trained):
        assert {value.dtype for value in found if value is not None} == {torch.float32}
    torch.testing.assert_close(output.logits.sigmoid(), expected.logits.sigmoid(), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"input_frames": 10}, "patch grid has no frames"),
        ({"mel_bins": 12}, "patch grid has no frames"),
        ({"ast_blocks": 4}, "more than ast_depth"),
        ({"ast_heads": 5}, "not a multiple"),
        ({"pooling": "band", "band": 4}, "4 bands"),
        ({"encoder": "crnn", "input_frames": 3}, "no frames"),
    ],
)
def test_inconsistent_configs_are_refused(small, values, message):
    with pytest.raises(UserError, match=message):
        build_detector(small(**values), 10)


def test_five_seconds_are_500_frames(small):
    detector = build_detector(small(input_frames=512, clip_seconds=5), 10)
    assert detector(torch.zeros(1, 512, 64)).logits.shape == (1, 500, 10)
    assert detector.frame_seconds == pytest.approx(0.01)


@pytest.mark.slow
def test_compiles_as_one_graph(small):
    detector = build_detector(small(), 10).eval()
    x = torch.randn(1, 1024, 64)
    compiled = torch.compile(detector.encode, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), detector.encode(x))


def test_one_band_replaces_the_mean(small):
    """A band that replaces the mean of a trained model gives what `pooling: band` gives with the same weights."""
    torch.manual_seed(0)
    trained = build_detector(small(pooling="mean", upsample=1), 4).eval()
    band = build_detector(small(pooling="band", band=2, upsample=1), 4).eval()
    band.load_state_dict(trained.state_dict())
    x = torch.randn(1, 1024, 64)
    before = trained(x).logits
    trained.use_band(2)
    assert torch.equal(trained(x).logits, band(x).logits) and not torch.equal(trained(x).logits, before)
    with pytest.raises(UserError, match="4 bands"):
        trained.use_band(4)
    with pytest.raises(UserError, match="train AST-GRU"):
        build_detector(small(), 4).use_band(0)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_loaded_weights_are_all_there_is(small, encoder, monkeypatch):
    """Values that memory held would be NaN here; a random number would change the generator's state."""
    torch.manual_seed(0)
    config = small(encoder=encoder, cnn_width=0.25, input_frames=208, pooling="mean")
    detector = build_detector(config, 3).eval()
    state = torch.get_rng_state()
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **options: empty(*size, **options).fill_(float("nan")))
    loaded = load_weights(config, 3, detector.state_dict()).eval()
    monkeypatch.undo()
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.randn(2, 208, config["mel_bins"])
    with torch.no_grad():
        assert torch.equal(loaded(x).logits, detector(x).logits)
    with pytest.raises(RuntimeError, match="Missing"):
        load_weights(config, 3, {})
