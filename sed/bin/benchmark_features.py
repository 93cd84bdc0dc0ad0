"""Compare the front end with torchaudio's: speed and differences.

usage: python3 -m sed.bin.benchmark_features [--config conf/logmel.yaml] [--seconds 10] [--clips 32]

Prints clips per second of both on one core, measured alternately, and the largest difference of their log-mel (natural
logarithm); with a GPU, the batched front end's speed there, too. On the CPU, processor time is measured, so that a busy
machine does not matter. torchaudio gets the config's rate, bins, frequency range and frames; its other settings are the
published AST's, so a config that has others (of the window or the level, say) shows a difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sed.cli import entry
from sed.config import Parser
from sed.errors import UserError


@entry
def main() -> None:
    parser = Parser("Compare the front end with torchaudio's: speed and differences.", config=True)
    parser.option("seconds", 10.0, "length of a clip (s)", least=0.1)
    parser.option("clips", 32, "clips per batch", least=1)
    parser.option("rounds", 5, "measurements of each front end; the fastest counts", least=1)
    parser.options_of("sed.features.logmel")
    args = parser.parse_args()

    import torch

    from sed.features.logmel import FrontEnd

    torch.set_num_threads(1)
    front_end = FrontEnd.from_config(vars(args))
    if front_end.front_end != "kaldi":
        raise UserError("this compares with torchaudio's Kaldi features (--front-end kaldi)")
    torch.manual_seed(0)
    waveforms = 0.1 * torch.randn(args.clips, round(args.seconds * front_end.sample_rate))
    if waveforms.shape[1] < front_end.min_samples:
        raise UserError(f"--seconds {args.seconds} is shorter than a window of {front_end.frame_length} s (give more)")

    def ours() -> torch.Tensor:
        return front_end(waveforms)

    def theirs() -> torch.Tensor:
        return torch.stack([torchaudio_features(waveform, args) for waveform in waveforms])

    difference = (ours() - theirs()).abs().max().item()
    times: dict[Callable[[], torch.Tensor], list[float]] = {ours: [], theirs: []}
    for _ in range(args.rounds):  # alternately, so that both see the same load
        for function, taken in times.items():
            start = time.process_time()
            function()
            taken.append(time.process_time() - start)
    rates = [args.clips / min(taken) for taken in times.values()]
    print(f"ours        {rates[0]:8.1f} clips/s of {args.seconds:g} s, one core")
    print(f"torchaudio  {rates[1]:8.1f} clips/s of {args.seconds:g} s, one core")
    print(f"ratio       {rates[0] / rates[1]:8.2f}")
    print(f"difference  {difference:8.1e} at most")
    if torch.cuda.is_available():
        on_gpu(front_end.cuda(), waveforms.cuda(), theirs(), args)


def torchaudio_features(waveform: Any, args: Any) -> Any:
    """Return features of one clip (samples,) as the AST release computes them by torchaudio."""
    from torchaudio.compliance.kaldi import fbank

    return fbank(
        (waveform - waveform.mean()).unsqueeze(0),
        htk_compat=True,
        sample_frequency=args.sample_rate,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=args.mel_bins,
        low_freq=args.f_min,
        high_freq=args.f_max,
        dither=0.0,
        frame_length=1000 * args.frame_length,
        frame_shift=1000 * args.frame_shift,
    )


def on_gpu(front_end: Any, waveforms: Any, theirs: Any, args: Any) -> None:
    """Print clips per second on the GPU, and the difference from torchaudio on the CPU.

    Args:
        front_end: the front end.
        waveforms: (clips, samples).
        theirs: torchaudio's features of the same clips.
        args: the options.
    """
    import torch

    difference = (front_end(waveforms).cpu() - theirs).abs().max().item()
    best = float("inf")
    for _ in range(args.rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        front_end(waveforms)
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    print(f"GPU         {args.clips / best:8.1f} clips/s, {torch.cuda.get_device_name()}; difference {difference:.1e}")


if __name__ == "__main__":
    main()
