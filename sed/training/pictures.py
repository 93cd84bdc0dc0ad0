"""Images for loggers that show them: the posteriors of some validation clips above their ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sed.data.batches import TrainingSet
from sed.features.logmel import FrontEnd
from sed.models.detector import Detector
from sed.training import augment

ROW, GAP, WIDTH, NAMES = 12, 4, 500, 110
"""in pixels: height of a strip, gap below the two strips of a label, width of the strips, width of the labels"""
POSTERIOR, TRUTH, UNKNOWN = (31, 119, 180), (44, 160, 44), (190, 190, 190)
"""RGB colours of a posterior of 1, of an event, and of frames whose ground truth is unknown"""


def spread(clips: int, count: int) -> list[int]:
    """Return at most `count` indices of a set of `clips` clips, evenly spaced, as sets are often sorted by label."""
    count = min(count, clips)
    return sorted({round(index) for index in np.linspace(0, clips - 1, count)}) if count else []


@torch.no_grad()
def picture_clips(
    model: Detector,
    data: TrainingSet,
    labels: Sequence[str],
    *,
    rows: Sequence[int],
    front_end: FrontEnd,
    device: torch.device,
    precision: str,
) -> dict[str, np.ndarray]:
    """Draw the posteriors of clips above their ground truth.

    Args:
        model: the model, on `device`; its mode (training or evaluation) is restored.
        data: a set with strong labels (targets per frame).
        labels: names of the classes.
        rows: indices of the clips to draw.
        front_end: the front end, on `device`, which normalises the stored log-mel features.
        device: device of the model.
        precision: bf16 for autocast; any other: the model's precision.

    Returns:
        {name of the clip: image (height, width, 3) uint8}; empty without rows or targets.
    """
    if not rows or data.targets is None:
        return {}
    was_training = model.training
    model.eval()
    chosen = np.asarray(rows)
    features = torch.from_numpy(data.store.read(chosen)).to(device)
    valid = torch.from_numpy(np.asarray(data.store.valid)[chosen].astype(np.int64)).to(device)
    x = front_end.normalise(features, valid, model.input_frames, model.input_padding)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        posteriors = torch.sigmoid(model(x)[0].float()).cpu().numpy()
    model.train(was_training)
    truth = augment.as_known(torch.from_numpy(data.targets[chosen])).numpy()
    clips = list(data.store.clips)
    return {
        clips[row]: draw(posterior, target, labels)
        for row, posterior, target in zip(rows, posteriors, truth, strict=True)
    }


def draw(posteriors: np.ndarray, truth: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Draw two strips per label: its posteriors, darker where higher, and below them its ground truth.

    Args:
        posteriors: (frames, classes) in [0, 1].
        truth: ground truth (frames, classes) in [0, 1], NaN where it is unknown.
        labels: names of the classes.

    Returns:
        The image (height, width, 3) uint8.
    """
    from PIL import Image, ImageDraw

    height = len(labels) * (2 * ROW + GAP)
    frames = np.minimum(np.arange(WIDTH) * len(posteriors) // WIDTH, len(posteriors) - 1)  # the frame of each column
    image = np.full((height, NAMES + WIDTH, 3), 255, np.uint8)
    for number in range(len(labels)):
        top = number * (2 * ROW + GAP)
        image[top : top + ROW, NAMES:] = _tinted(posteriors[frames, number], POSTERIOR)
        strip = _tinted(np.nan_to_num(truth[frames, number]), TRUTH)
        strip[np.isnan(truth[frames, number])] = UNKNOWN
        image[top + ROW : top + 2 * ROW, NAMES:] = strip
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    for number, label in enumerate(labels):
        # Pillow without FreeType refuses characters beyond Latin-1; 18 characters are about NAMES pixels wide
        text = label.encode("latin-1", "replace").decode("latin-1")[:18]
        pen.text((2, number * (2 * ROW + GAP) + ROW // 2), text, fill=(0, 0, 0))
    return np.array(picture)


def _tinted(values: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Return the RGB colours (columns, 3) of values in [0, 1]: white for 0, `colour` for 1, linear in between."""
    share = np.clip(values, 0, 1)[:, None]
    return np.round(255 + share * (np.array(colour) - 255)).astype(np.uint8)
