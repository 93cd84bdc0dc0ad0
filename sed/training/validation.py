"""Quick validation on a strong set after each epoch; the metrics that are reported come from the recipe's stage 5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sed.data.batches import TrainingSet
from sed.features.logmel import FrontEnd
from sed.models.detector import Detector
from sed.training import augment, losses

THRESHOLD = 0.5
"""posterior above which a frame is a detection"""

Scorer = Callable[[np.ndarray, np.ndarray], float]
"""(frame posteriors (clips, frames, classes), clip posteriors (clips, classes)) -> score: higher is better"""


@torch.no_grad()
def validate(
    model: Detector,
    data: TrainingSet,
    *,
    front_end: FrontEnd,
    batch_size: int,
    device: torch.device,
    precision: str,
    scorer: Scorer | None = None,
) -> dict[str, float]:
    """Score a model on a strong set, without augmentation.

    Args:
        model: the model, on the device; its mode (training or evaluation) is restored.
        data: the set; unknown frames count as inactive.
        front_end: normalises the features, on the device.
        batch_size: clips per forward pass.
        device: device of the model.
        precision: bf16 for autocast; any other: the model's precision.
        scorer: computes the score; None: the score is the frame F1.

    Returns:
        {`score`, `frame_f1`, `frame_loss`}: the score; F1 of frames at threshold 0.5 (soft targets count as shares),
        averaged over the classes that have targets or detections (0 if none has); mean cross-entropy of frames.
    """
    was_training = model.training
    model.eval()
    assert data.targets is not None
    counts = torch.zeros(3, data.targets.shape[2], dtype=torch.float64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    clips = len(data)
    posteriors: list[tuple[np.ndarray, np.ndarray]] = []
    for first in range(0, clips, batch_size):
        rows = np.arange(first, min(first + batch_size, clips))
        features = torch.from_numpy(data.store.read(rows)).to(device)
        valid = torch.from_numpy(np.asarray(data.store.valid)[rows].astype(np.int64)).to(device)
        targets = augment.as_known(torch.from_numpy(data.targets[rows]).to(device)).nan_to_num()
        x = front_end.normalise(features, valid, model.input_frames, model.input_padding)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits, clip_posteriors = model(x)[:2]
        if scorer is not None:
            posteriors.append((torch.sigmoid(logits.float()).cpu().numpy(), clip_posteriors.float().cpu().numpy()))
        loss += losses.frame_loss(logits, targets).double() * len(rows)
        found = (torch.sigmoid(logits) > THRESHOLD).float()
        counts += torch.stack([(found * targets).sum((0, 1)), found.sum((0, 1)), targets.sum((0, 1))])
    model.train(was_training)
    hits, detected, true = counts.cpu()
    occurring = (detected + true) > 0
    f1 = (2 * hits / (detected + true))[occurring]
    frame_f1 = float(f1.mean()) if len(f1) else 0.0
    score = frame_f1 if scorer is None else scorer(*map(np.concatenate, zip(*posteriors, strict=True)))
    return {"score": score, "frame_f1": frame_f1, "frame_loss": float(loss) / clips}
