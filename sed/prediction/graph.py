"""The whole of prediction as one graph for export: waveforms of any length to frame and clip posteriors.

Front end, windows, detector and their join, in operations that ONNX has: frames are gathered, and the Fourier
transform is a matrix product. The same windows as `sed.prediction.windows`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sed.errors import UserError
from sed.features.kaldi import EPS, PREEMPHASIS
from sed.prediction.windows import WindowPlan

if TYPE_CHECKING:
    from sed.features.logmel import FrontEnd
    from sed.models.detector import Detector


class KaldiGraph(nn.Module):
    """The Kaldi front end on windows of one length, of which the first `valid` samples are sound."""

    fourier: Tensor
    bank: Tensor
    index: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        if front_end.front_end != "kaldi":
            raise UserError("export: only models on the kaldi front end (the CRNN's stft one reflects at a clip's end)")
        if front_end.normaliser != "fixed":
            raise UserError("export: only models with the fixed normaliser")
        length, shift, size = front_end.window_samples, front_end.shift_samples, front_end.fft_size
        self.window_samples, self.shift_samples = length, shift
        self.frames, self.level = front_end.clip_frames, front_end.level
        # Cosine and sine of every frequency, the window in them: (samples, 2 frequencies). In float64, since a rounding
        # error beside a loud tone moves quiet bins across the steps of float16, in which stage 2 stores them.
        angle = 2 * math.pi / size * torch.outer(torch.arange(length).double(), torch.arange(size // 2 + 1).double())
        window = front_end.window.double().unsqueeze(1)
        self.register_buffer("fourier", torch.cat([window * angle.cos(), -window * angle.sin()], 1))
        self.register_buffer("bank", front_end.bank.clone())
        index = torch.arange(self.frames).unsqueeze(1) * shift + torch.arange(length)
        self.register_buffer("index", index.flatten())

    def forward(self, windows: Tensor, valid: Tensor) -> Tensor:
        """(n, samples) and samples that count (n,) to raw log-mel (n, frames, bins)."""
        count = valid.unsqueeze(1).float()
        windows = self.level(windows, count)
        windows = windows - windows.sum(1, keepdim=True) / count
        frames = windows.index_select(1, self.index).reshape(-1, self.frames, self.window_samples)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        spectrum = ((frames - PREEMPHASIS * before).double() @ self.fourier).float()
        real, imag = spectrum.chunk(2, -1)
        return ((real * real + imag * imag) @ self.bank).clamp_min(EPS).log()


class PredictionGraph(nn.Module):
    """(batch, samples) float32 at the model's rate to frame (batch, frames, classes) and clip posteriors.

    A recording longer than the model's clips is cut into overlapping windows; its clip posterior is the highest of
    theirs. Frames beyond the recording's end are 0.
    """

    def __init__(self, *, detector: Detector, front_end: FrontEnd, plan: WindowPlan) -> None:
        super().__init__()
        self.features = KaldiGraph(front_end)
        self.detector = detector
        self.samples, self.hop = plan.samples, plan.hop * plan.frame_samples
        self.frames, self.hop_frames = plan.frames, plan.hop
        self.frame_samples = plan.frame_samples
        self.front_end = front_end

    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Also the log-mel (batch, windows, frames, bins) that the posteriors are of."""
        batch, samples = waveforms.shape[0], waveforms.shape[1]
        # ceil((samples - window) / hop) further windows, none when that is negative; as tensors, which export traces
        count = 1 + torch.as_tensor((samples - self.samples + self.hop - 1) // self.hop).clamp_min(0)
        padded = torch.cat([waveforms, torch.zeros_like(waveforms[:, :1])], 1)
        start = torch.arange(count) * self.hop  # type: ignore[call-overload]  # int(count) would not be traced
        index = (start.unsqueeze(1) + torch.arange(self.samples)).clamp_max(samples)  # beyond the end: a zero
        windows = padded[:, index.flatten()].reshape(-1, self.samples)
        valid = (samples - start).clamp_max(self.samples).repeat(batch)
        logmel = self.features(windows, valid)
        stored = logmel.half().float()  # as stage 2 stores it
        whole = (valid - self.features.window_samples) // self.features.shift_samples + 1
        x = self.front_end.normalise(stored, whole, self.detector.input_frames, self.detector.input_padding)
        output = self.detector(x)
        sound = torch.arange(self.frames) * self.frame_samples < valid.unsqueeze(1)
        frame = torch.sigmoid(output.logits) * sound.unsqueeze(2)
        classes = frame.shape[2]
        frame = frame.reshape(batch, -1, self.frames, classes)
        clip = output.clip.clamp(0, 1).reshape(batch, -1, classes).amax(1)
        shown = logmel.reshape(batch, -1, self.features.frames, logmel.shape[2])
        return self._join(frame), clip, shown

    def _join(self, frame: Tensor) -> Tensor:
        """(batch, windows, frames, classes) to (batch, all frames, classes): the highest of what windows say."""
        batch, count, classes = frame.shape[0], frame.shape[1], frame.shape[3]
        hops = -(-self.frames // self.hop_frames)  # of a window, the last of them perhaps in part
        frame = nn.functional.pad(frame, (0, 0, 0, hops * self.hop_frames - self.frames))
        frame = frame.reshape(batch, -1, hops, self.hop_frames, classes)
        # hop by hop, the frames of all windows moved to where they lie in the recording; 0 beside, below any posterior
        moved = [nn.functional.pad(frame[:, :, k], (0, 0, 0, 0, k, hops - 1 - k)) for k in range(hops)]
        whole = torch.stack(moved).amax(0).reshape(batch, -1, classes)
        return whole[:, : (count - 1) * self.hop_frames + self.frames]
