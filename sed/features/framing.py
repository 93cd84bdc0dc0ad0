"""Framing of waveforms: number and position of frames, padding at the ends. Numbers of frames need no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Count = TypeVar("Count", int, "Tensor")  # a tensor: counts of several waveforms, or in a graph for export


@dataclass(frozen=True)
class Framing:
    """Frames of `window` samples, `shift` samples apart, for an FFT of `fft_size` samples.

    Values of `centring`: `none`: frames that fit completely (Kaldi's snip_edges). `reflect`: centred at multiples of
    the shift, with the waveform mirrored at its ends (torch, librosa). `fade`: the waveform is divided into pieces of
    one shift, each in the middle of its frame, with zeros at the ends (paderbox's "half" fading).
    """

    window: int
    shift: int
    fft_size: int
    centring: str

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Framing:
        """Return the framing of a front end's resolved settings (seconds are rounded to samples).

        Raises:
            ValueError: the settings are inconsistent.
        """
        rate = settings["sample_rate"]
        found = cls(
            round(settings["frame_length"] * rate),
            round(settings["frame_shift"] * rate),
            settings["fft_size"],
            settings["centring"],
        )
        if found.window < 2 or found.shift < 1:
            length, shift = settings["frame_length"], settings["frame_shift"]
            raise ValueError(f"frame_length {length} is shorter than two samples, or frame_shift {shift} than one")
        if found.fft_size < found.window:
            raise ValueError(f"fft_size {found.fft_size} is less than the window of {found.window} samples")
        if found.centring == "fade" and found.window < found.shift:
            raise ValueError(f"centring fade: a window of {found.window} samples is less than a shift, {found.shift}")
        return found

    @property
    def lead(self) -> int:
        """Number of samples of the first frame that are before the start of the waveform."""
        if self.centring == "reflect":  # torch centres the window within the FFT, and the FFT at the start
            return self.fft_size // 2 - (self.fft_size - self.window) // 2
        return (self.window - self.shift) // 2 if self.centring == "fade" else 0

    @property
    def min_samples(self) -> int:
        """Samples in the shortest waveform with a frame; for `reflect`, in the shortest that torch.stft can mirror."""
        return {"none": self.window, "reflect": self.fft_size // 2 + 1, "fade": 1}[self.centring]

    def num_frames(self, samples: Count) -> Count:
        """Return the number of frames of a waveform of at least `min_samples`."""
        if self.centring == "none":
            return 1 + (samples - self.window) // self.shift
        if self.centring == "reflect":
            return 1 + (samples + 2 * (self.fft_size // 2) - self.fft_size) // self.shift
        return (samples + self.shift - 1) // self.shift

    def frames(self, waveforms: Tensor) -> Tensor:
        """Cut waveforms (..., samples) into frames (..., frames, window), a view if nothing is padded."""
        from torch.nn.functional import pad

        samples = waveforms.shape[-1]
        # samples by which the last frame reaches beyond the waveform; negative if it ends before
        end = (self.num_frames(samples) - 1) * self.shift + self.window - self.lead - samples
        if self.centring == "reflect":
            shape = waveforms.shape  # torch does not mirror tensors of one dimension
            waveforms = pad(waveforms.reshape(-1, samples), (self.lead, max(end, 0)), mode="reflect")
            waveforms = waveforms.reshape(*shape[:-1], -1)
        elif self.centring == "fade":
            waveforms = pad(waveforms, (self.lead, max(end, 0)))
        return waveforms.unfold(-1, self.window, self.shift)
