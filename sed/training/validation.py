"""A quick look at a labelled set after each epoch; the real metrics are stage 5's."""

from __future__ import annotations

import numpy as np
import torch

from sed.data.batches import TrainingSet
from sed.features.logmel import FrontEnd
from sed.models.detector import Detector
from sed.training import losses

THRESHOLD = 0.5


class Validator:
    """Frame cross-entropy and macro frame F1 at threshold 0.5 of a model on a strong set, without augmentation.

    Classes that neither the targets nor the detections have are left out of the macro average.
    """

    def __init__(self, data: TrainingSet, *, front_end: FrontEnd, batch_size: int, device: torch.device) -> None:
        self.data, self.front_end, self.batch_size, self.device = data, front_end, batch_size, device

    @torch.no_grad()
    def __call__(self, model: Detector, *, precision: str) -> dict[str, float]:
        """{`score`: the F1, `frame_loss`: the cross-entropy}."""
        was_training = model.training
        model.eval()
        assert self.data.targets is not None
        counts = torch.zeros(3, self.data.targets.shape[2], dtype=torch.float64, device=self.device)
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        clips = len(self.data)
        for first in range(0, clips, self.batch_size):
            rows = np.arange(first, min(first + self.batch_size, clips))
            features = torch.from_numpy(self.data.store.read(rows)).to(self.device)
            valid = torch.from_numpy(np.asarray(self.data.store.valid)[rows].astype(np.int64)).to(self.device)
            targets = torch.from_numpy(self.data.targets[rows]).to(self.device).float()
            x = self.front_end.normalise(features, valid, model.input_frames)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16"):
                logits = model(x).logits
            loss += losses.frame_loss(logits, targets).double() * len(rows)
            found = (torch.sigmoid(logits) > THRESHOLD).float()
            counts += torch.stack([(found * targets).sum((0, 1)), found.sum((0, 1)), targets.sum((0, 1))])
        model.train(was_training)
        hits, found, wanted = counts.cpu()
        seen = (found + wanted) > 0
        f1 = (2 * hits / (found + wanted).clamp(min=1))[seen]
        return {"score": float(f1.mean()) if len(f1) else 0.0, "frame_loss": float(loss) / clips}
