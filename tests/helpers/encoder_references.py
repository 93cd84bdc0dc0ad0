"""Outputs of other implementations' encoders on made-up weights and audio, recorded for tests to compare with.

usage: PYTHONPATH=.:tests/helpers python3 tests/helpers/encoder_references.py  # needs the extra `parity`

The reference of EAT also needs timm and a checkout of github.com/cwx-worst-one/EAT, in the folder EAT_CHECKOUT (an
environment variable).
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
import torchaudio
from encoder_parity import RATE, RECORDED, recorded, sounds, weights
from torch import Tensor, nn

SECONDS = 1.0
Outputs = dict[str, Tensor]


def atst_frame(*, dim: int, depth: int, heads: int, waveforms: Tensor) -> Outputs:
    """Return `features` (batch, frames, bins), the output of each block, and `output`, the last one normalised."""
    from avex.models.atst_frame.atst_frame import FrameAST, MinMax

    mel = torchaudio.transforms.MelSpectrogram(
        RATE, f_min=60, f_max=7800, hop_length=160, win_length=1024, n_fft=1024, n_mels=64
    )
    decibels, scale = torchaudio.transforms.AmplitudeToDB(stype="power", top_db=80), MinMax(-79.6482, 50.6842)
    # clip by clip, since a batch would share one floor (top_db); clamped, as published but not in avex
    features = torch.stack([scale(decibels(mel(clip)).clamp(-50, 80)) for clip in waveforms])
    model = FrameAST(
        spec_w=features.shape[2], patch_h=64, patch_w=4, embed_dim=dim, depth=depth, num_heads=heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    model.load_state_dict(weights(model.state_dict()))
    found = _watched(model.blocks)
    model.eval()
    with torch.inference_mode():
        frames = torch.full((len(features),), features.shape[2])
        found["output"] = model.get_intermediate_layers(features.unsqueeze(1), frames, n=1, scene=False)
    return {"features": features.transpose(1, 2), **found}


def beats(*, dim: int, depth: int, heads: int, waveforms: Tensor) -> Outputs:
    """Return the same as `atst_frame`; all blocks get the first one's table of relative positions."""
    from avex.models.beats.beats import BEATs, BEATsConfig

    model = BEATs(
        BEATsConfig(
            encoder_embed_dim=dim, encoder_ffn_embed_dim=4 * dim, encoder_layers=depth, encoder_attention_heads=heads
        )
    )
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("fbank.")}
    table = "self_attn.relative_attention_bias.weight"
    made = weights(own)
    made = {name: made[f"encoder.layers.0.{table}"] if name.endswith(table) else x for name, x in made.items()}
    model.load_state_dict({**model.state_dict(), **made})
    found = _watched(model.encoder.layers)
    model.eval()
    with torch.inference_mode():
        features = model.preprocess(waveforms)
        output, _ = model.extract_features(waveforms, feature_only=True)
    return {"features": features, **{name: x.transpose(0, 1) for name, x in found.items()}, "output": output}


def dasheng(*, dim: int, depth: int, heads: int, waveforms: Tensor) -> Outputs:
    """Return the same as `atst_frame`, of the package `dasheng`; features before the batch norm."""
    from dasheng.pretrained.pretrained import Dasheng

    model = Dasheng(embed_dim=dim, depth=depth, num_heads=heads)
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("front_end.")}
    model.load_state_dict({**model.state_dict(), **weights(own)})
    found = _watched(model.blocks)
    model.eval()
    with torch.inference_mode():
        # clip by clip, since a batch would share one floor
        features = torch.cat([model.front_end(clip[None]) for clip in waveforms])
        found["output"] = model.forward_spectrogram(model.init_bn(features.unsqueeze(1)))
    return {"features": features.transpose(1, 2), **found}


def eat(*, dim: int, depth: int, heads: int, waveforms: Tensor) -> Outputs:
    """Return the same as `atst_frame`: avex's features and, as avex downloads EAT's network, its authors' code."""
    from avex.models.eat import EATAudioProcessor

    mae, modules = _eat_sources()
    frames = -(-waveforms.shape[1] // 160 // 16) * 16
    features = EATAudioProcessor(target_length=frames)(waveforms)
    norm = partial(nn.LayerNorm, eps=1e-6)
    patches = mae.PatchEmbed_new((frames, 128), 16, 1, dim)
    before = modules.BlockEncoder(nn.ModuleList(), norm(dim), False, 0, 0)
    blocks = nn.ModuleList(
        modules.AltBlock(dim, heads, qkv_bias=True, norm_layer=norm, layer_norm_first=False) for _ in range(depth)
    )
    positions = torch.from_numpy(mae.get_2d_sincos_pos_embed_flexible(dim, (frames // 16, 8))).float()[None]
    image = "modality_encoders.IMAGE."
    token = weights({f"{image}extra_tokens": torch.empty(1, 1, dim)})[f"{image}extra_tokens"]
    parts = ((patches, f"{image}local_encoder."), (before, f"{image}context_encoder."), (blocks, "blocks."))
    for part, prefix in parts:
        made = weights({prefix + name: value for name, value in part.state_dict().items()})
        part.load_state_dict({name.removeprefix(prefix): value for name, value in made.items()})
        part.eval()
    found = _watched(blocks)
    with torch.inference_mode():
        x = torch.cat([token.expand(len(features), -1, -1), patches(features[:, None]) + positions], 1)
        x = before(x, None, None, None)
        for block in blocks:
            x, _ = block(x)
    return {"features": features, **found, "output": x[:, 1:]}


def _eat_sources() -> list[ModuleType]:
    """Import two files of EAT's checkout, with stand-ins for fairseq, which they import but do not need here."""

    def register_model(*_: object, **__: object) -> Callable[[type], type]:
        return lambda made: made

    stand_ins: dict[str, dict[str, object]] = {
        "fairseq": {},
        "fairseq.modules": dict.fromkeys(("LayerNorm", "SamePad", "SamePad2d", "TransposeLast")),
        "fairseq.dataclass": {"FairseqDataclass": object},
        "fairseq.models": {"BaseFairseqModel": nn.Module, "register_model": register_model},
        "fairseq.models.wav2vec": {},
        "fairseq.models.wav2vec.wav2vec2": {"TransformerSentenceEncoderLayer": None},
    }
    for name, values in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(values)
        sys.modules.setdefault(name, module)
    folder = Path(os.environ["EAT_CHECKOUT"]) / "models"
    found = []
    for name in ("mae", "modules"):
        spec = importlib.util.spec_from_file_location(f"eat_{name}", folder / f"{name}.py")
        assert spec and spec.loader
        found.append(importlib.util.module_from_spec(spec))
        spec.loader.exec_module(found[-1])
    return found


def _watched(blocks: nn.ModuleList | nn.Sequential) -> Outputs:
    """Return a dict that gets the output of each block, `blocks.<number>`, when the model runs."""
    found: Outputs = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: found.update({name: output[0] if type(output) is tuple else output})

    for number, block in enumerate(blocks):
        block.register_forward_hook(keep(f"blocks.{number}"))
    return found


REFERENCES: dict[str, Callable[..., Outputs]] = {
    "atst_frame": atst_frame,
    "beats": beats,
    "dasheng": dasheng,
    "eat": eat,
}
SMALL = {"dim": 32, "depth": 3, "heads": 2}
PUBLISHED = {"dim": 768, "depth": 12, "heads": 12}
"""the size that tests marked `slow` compare at, without a recording"""


def main() -> None:
    for name, reference in REFERENCES.items():
        outputs = reference(**SMALL, waveforms=sounds(SECONDS))
        values = {key: {"shape": list(x.shape), "values": recorded(x)} for key, x in outputs.items()}
        (RECORDED / f"{name}.json").write_text(
            json.dumps({"size": SMALL, "seconds": SECONDS, "outputs": values}, indent=1)
        )


if __name__ == "__main__":
    main()
