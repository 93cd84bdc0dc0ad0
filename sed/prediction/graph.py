"""Prediction as one graph for export: waveforms of any length to frame and clip posteriors.

Front end, windows, detector and the join of windows, in operations that ONNX has: frames are gathered, and the Fourier
transform is a matrix product. Windows lie as in `sed.prediction.windows`; frame posteriors are joined by the maximum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sed.features.logarithm import logarithm
from sed.prediction.windows import WindowPlan

if TYPE_CHECKING:
    from sed.features.logmel import FrontEnd
    from sed.models.detector import Detector


class FeatureGraph(nn.Module):
    """A front end for windows of a clip's length, whose first `valid` samples are audio and whose others are 0."""

    fourier: Tensor
    bank: Tensor  # mel filters (frequencies, bins)
    index: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end, self.framing = front_end, front_end.framing
        self.samples, self.frames = front_end.clip_samples, front_end.clip_frames
        length, size = front_end.window_samples, front_end.fft_size
        # Cosine and sine of every frequency times the analysis window: (samples, 2 * frequencies). In float64, because
        # rounding errors beside a loud tone would change quiet bins by a step of float16, in which stage 2 stores them.
        angle = 2 * math.pi / size * torch.outer(torch.arange(length).double(), torch.arange(size // 2 + 1).double())
        window = front_end.taper.double().unsqueeze(1)
        self.register_buffer("fourier", torch.cat([window * angle.cos(), -window * angle.sin()], 1))
        self.register_buffer("bank", front_end.bank.clone())
        start = torch.arange(self.frames).unsqueeze(1) * self.framing.shift - self.framing.lead
        # Position in the window of every sample of every frame, (frames * length,); below 0 where centring pads.
        self.register_buffer("index", (start + torch.arange(length)).flatten())

    def forward(self, windows: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-mel, not normalised.

        Args:
            windows: (n, samples), 0 from sample `valid` on.
            valid: (n,) number of samples of each window that are audio.

        Returns:
            Log-mel (n, frames, bins), and the number of frames of each window that are audio (n,).
        """
        # As `sed.features.analysis.spectrum`: `prepare` processes whole windows, `traced` each frame.
        windows = self.front_end.prepare(windows, valid.unsqueeze(1).float())
        framed = self._framed(windows, valid).reshape(-1, self.frames, self.framing.window)
        spectrum = (self.front_end.analysis.traced(framed).double() @ self.fourier).float()
        real, imag = spectrum.chunk(2, -1)
        power = real * real + imag * imag
        mel = (power if self.front_end.power == 2 else power.sqrt()) @ self.bank
        count = self.framing.num_frames(valid)
        inside = (torch.arange(self.frames) < count.unsqueeze(1)).unsqueeze(2)
        return logarithm(mel, self.front_end.settings, inside), count

    def _framed(self, windows: Tensor, valid: Tensor) -> Tensor:
        """Return the samples of all frames, (n, frames * window)."""
        if self.framing.centring == "none":
            return windows.index_select(1, self.index)
        last = valid.unsqueeze(1) - 1
        index = self.index.abs() if self.framing.centring == "reflect" else self.index.clamp_min(0)
        index = index.unsqueeze(0).expand(windows.shape[0], -1)
        inside = index <= last
        if self.framing.centring == "reflect":  # clamp: frames after the clip's end may reach beyond its mirror image
            return windows.gather(1, torch.where(inside, index, 2 * last - index).clamp_min(0))
        inside = inside & (self.index >= 0)  # centring fade: zeros beyond both ends
        return windows.gather(1, index.clamp_max(self.samples - 1)) * inside


class PredictionGraph(nn.Module):
    """Prediction on waveforms (batch, samples), float32 at the model's rate; see `forward` for what it returns.

    A recording longer than the model's clips is cut into overlapping windows; its clip posterior is the highest of the
    windows', as in `sed.prediction.recording.Result.tags`, and not the mean that weak masking takes. Posteriors beyond
    the recording's end are 0.
    """

    def __init__(self, *, detector: Detector, front_end: FrontEnd, plan: WindowPlan) -> None:
        """
        Args:
            detector: the detector, in evaluation mode.
            front_end: its front end, whose clip is a window.
            plan: positions of the windows in longer recordings.
        """
        super().__init__()
        self.features = FeatureGraph(front_end)
        self.detector = detector
        self.samples, self.hop = plan.samples, plan.hop * plan.frame_samples
        self.frames, self.hop_frames = plan.frames, plan.hop
        self.frame_samples = plan.frame_samples

    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return posteriors and the log-mel that they were computed from.

        Frame posteriors are (batch, frames, classes), clip posteriors (batch, classes), and log-mel, not normalised,
        (batch, windows, frames of log-mel, bins).
        """
        batch, samples = waveforms.shape[0], waveforms.shape[1]
        # 1 + ceil((samples - window) / hop) windows, at least 1; computed as a tensor, so that the export traces it.
        number = 1 + torch.as_tensor((samples - self.samples + self.hop - 1) // self.hop).clamp_min(0)
        padded = torch.cat([waveforms, torch.zeros_like(waveforms[:, :1])], 1)
        start = torch.arange(number) * self.hop  # type: ignore[call-overload]  # int(number) would not be traced
        index = (start.unsqueeze(1) + torch.arange(self.samples)).clamp_max(samples)  # beyond the end: a zero
        windows = padded[:, index.flatten()].reshape(-1, self.samples)
        valid = (samples - start).clamp_max(self.samples).repeat(batch)
        logmel, count = self.features(windows, valid)  # count: frames of audio
        stored = logmel.half().float()  # as stage 2 stores it
        x = self.features.front_end.normalise(stored, count, self.detector.input_frames, self.detector.input_padding)
        output = self.detector(x)
        inside = torch.arange(self.frames) * self.frame_samples < valid.unsqueeze(1)
        frame = torch.sigmoid(output.logits) * inside.unsqueeze(2)
        classes = frame.shape[2]
        frame = frame.reshape(batch, -1, self.frames, classes)
        clip = output.clip.reshape(batch, -1, classes).amax(1)
        shown = logmel.reshape(batch, -1, self.features.frames, logmel.shape[2])
        return self._join(frame), clip, shown

    def _join(self, frame: Tensor) -> Tensor:
        """Join (batch, windows, frames, classes) to (batch, all frames, classes) by the maximum over windows."""
        batch, count, classes = frame.shape[0], frame.shape[1], frame.shape[3]
        hops = -(-self.frames // self.hop_frames)  # hops per window; the last may be partial
        frame = nn.functional.pad(frame, (0, 0, 0, hops * self.hop_frames - self.frames))
        frame = frame.reshape(batch, -1, hops, self.hop_frames, classes)
        # For each hop k of a window, shift the frames of all windows to their place in the recording; fill with 0,
        # which never exceeds a posterior.
        moved = [nn.functional.pad(frame[:, :, k], (0, 0, 0, 0, k, hops - 1 - k)) for k in range(hops)]
        whole = torch.stack(moved).amax(0).reshape(batch, -1, classes)
        return whole[:, : (count - 1) * self.hop_frames + self.frames]
