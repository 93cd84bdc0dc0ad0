"""The AST against Hugging Face's, block by block, with the same random weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sed.checkpoints.ast_layouts import to_tagger
from sed.models.ast import AST, Attention, Block, convolve_patches, patch_views
from sed.models.detector import build_detector
from sed.models.tagger import build_tagger

transformers = pytest.importorskip("transformers")


def hugging_face(**sizes):
    torch.manual_seed(0)
    model = transformers.ASTForAudioClassification(transformers.ASTConfig(num_labels=527, **sizes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # what Hugging Face leaves at zero or one
            if parameter.ndim != 2 and "projection.weight" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def compare(model, config, batch: int) -> float:
    tagger = build_tagger(config, 527).eval()
    tagger.load_state_dict(to_tagger(model.state_dict(), tagger)[0])
    x = torch.randn(batch, config["input_frames"], config["mel_bins"])
    with torch.inference_mode():
        theirs = model(x, output_hidden_states=True)
        hidden = [tagger.encoder.embed(x)]
        for block in tagger.encoder.blocks:
            hidden.append(block(hidden[-1]))
        assert len(hidden) == len(theirs.hidden_states)
        worst = max((a - b).abs().max().item() for a, b in zip(hidden, theirs.hidden_states, strict=True))
        return max(worst, (tagger(x) - theirs.logits).abs().max().item())


@pytest.mark.thorough
def test_equals_transformers_at_a_small_size(config):
    model = hugging_face(num_hidden_layers=4, hidden_size=96, num_attention_heads=3, intermediate_size=384)
    sizes = config(ast_dim=96, ast_heads=3, ast_depth=4, ast_norm_eps=1e-12)
    assert compare(model, sizes, batch=2) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("eps", [1e-12, 1e-6])
def test_equals_transformers_at_the_published_size(config, eps):
    difference = compare(hugging_face(layer_norm_eps=eps), config(ast_norm_eps=eps), batch=1)
    print(f"largest difference of any block or logit: {difference:.2e}")
    assert difference < 1e-4


def test_equals_transformers_on_another_grid(config):
    model = hugging_face(
        num_hidden_layers=2, hidden_size=48, num_attention_heads=3, intermediate_size=192,
        num_mel_bins=64, max_length=300, frequency_stride=16, time_stride=8,
    )  # fmt: skip
    sizes = config(
        ast_dim=48, ast_heads=3, ast_depth=2, ast_norm_eps=1e-12,
        mel_bins=64, input_frames=300, stride_freq=16, stride_time=8,
    )  # fmt: skip
    assert compare(model, sizes, batch=2) < 1e-5


@pytest.mark.parametrize(("kernel", "stride"), [((16, 16), (10, 10)), ((16, 8), (16, 8)), ((4, 6), (3, 5))])
def test_patches_are_convolved_as_by_torch(kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 8, kernel, stride)
    x = torch.randn(3, 1, 41, 53)
    want = convolution(x).flatten(2).transpose(1, 2)
    torch.testing.assert_close(convolve_patches(convolution, x), want, rtol=0, atol=5e-6)
    # those of a GPU
    assert torch.equal(patch_views(x, kernel, stride), F.unfold(x, kernel, stride=stride).transpose(1, 2))


@pytest.mark.parametrize("grad", [False, True])
def test_first_token_alone_equals_the_whole_block(grad):
    torch.manual_seed(0)
    block = Block(dim=32, heads=4, mlp_ratio=4)
    x = torch.randn(5, 13, 32, requires_grad=grad)
    short, whole = block.first(x), block(x)[:, :1]
    torch.testing.assert_close(short, whole, rtol=0, atol=1e-5)
    if grad:
        weights = [x, *block.parameters()]
        ours = torch.autograd.grad(short.square().sum(), weights)
        theirs = torch.autograd.grad(whole.square().sum(), weights)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_attention_needs_whole_heads():
    with pytest.raises(ValueError, match="not a multiple"):
        Attention(dim=30, heads=4)


def test_activation_checkpointing_changes_nothing():
    sizes = {"mel_bins": 32, "input_frames": 64, "dim": 24, "heads": 2, "blocks": 2}
    torch.manual_seed(0)
    plain, checkpointed = AST(**sizes), AST(**sizes, checkpoint_activations=True)
    checkpointed.load_state_dict(plain.state_dict())
    x = torch.randn(2, 64, 32)
    gradients = []
    for model in (plain, checkpointed):
        model.train()(x).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_only_the_blocks_kept_take_memory(config):
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in build_detector(config(ast_blocks=blocks), 10).encoder.parameters())
            for blocks in (10, 12)
        ]
    block = 12 * 768 * 768 + 13 * 768  # q, k, v, projection and MLP, with biases, and two norms
    assert counts[1] - counts[0] == 2 * block


def test_the_grid_is_bands_from_low_to_high_by_patches_in_time():
    """Without blocks, a patch is moved by its own bins and frames alone."""
    torch.manual_seed(0)
    encoder = AST(mel_bins=64, input_frames=100, dim=8, heads=1, blocks=0, stride=(16, 10))
    assert encoder.grid == (4, 9)
    x = torch.zeros(1, 100, 64)
    x[0, 35, 20] = 1  # in the second band; in the patches that start at frames 20 and 30
    moved = (encoder(x) - encoder(torch.zeros(1, 100, 64))).abs().amax((0, 3)) > 0
    assert moved.nonzero().tolist() == [[1, 2], [1, 3]]
