"""Pseudo-labels in a separate term of the loss: frame cross-entropy against the posteriors of an ensemble.

They are read from `<folder>/<set>/scores.h5` for every training set that has such a file, whatever system wrote it:
posteriors of other frame rates are averaged over the label frames, the output frames of the model. In a weak set,
posteriors of classes that are not among a clip's tags count as 0. Pseudo-labels are shifted, mixed and masked like
labels. An alternative is the strong set `pseudo` that `sed.bin.pseudo_label` writes: its detected events are trained on
like true ones. Letters such as (C) name sources: see egs/desed/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sed.data.batches import TrainingSet
from sed.data.resampling import resampled
from sed.data.scores import Scores, read_scores
from sed.errors import UserError

OPTIONS = {
    "pseudo_labels": {
        "default": "",
        "help": "folder with <set>/scores.h5 of an ensemble for the training sets to pseudo-label; '': none",
    },
    "pseudo_weight": {
        "default": 0.0,
        "help": "weight of the frame cross-entropy against pseudo-labels (C: 1.5)",
        "least": 0,
    },
    "pseudo_threshold": {
        "default": 0.0,
        "help": "targets are 1 for posteriors of at least this value, else 0; 0: the posteriors themselves",
        "least": 0,
        "most": 1,
    },
}
LEAST_COVERED = 0.9  # share of a clip; an encoder may leave out less than a patch at the end


class PseudoLabels:
    """Targets of the clips of all training sets; NaN for clips without pseudo-labels.

    Rows number the clips set after set, like those of `sed.data.batches.FeaturePool`.
    """

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        folder: Path,
        *,
        labels: Sequence[str],
        frames: int,
        frame_seconds: float,
        threshold: float = 0.0,
    ) -> None:
        """
        Args:
            sets: the training sets, in the order of the feature pool.
            folder: folder with `<set>/scores.h5` of some of the sets.
            labels: class names.
            frames: label frames per clip.
            frame_seconds: length of a label frame in seconds.
            threshold: posteriors of at least this value become 1, others 0; 0: posteriors are kept.

        Raises:
            UserError: no set has scores, or scores are of other labels or shorter clips or lack a clip.
        """
        self.shape = (frames, len(labels))
        self.origins: dict[str, dict[str, Any]] = {}
        """{set: {models, threshold} of its pseudo-labels}, for sets that have some"""
        self._starts = np.cumsum([0, *map(len, sets)])
        self._targets: list[np.ndarray | None] = []
        for one in sets:
            path = folder / one.name / "scores.h5"
            if not path.is_file():
                self._targets.append(None)
                continue
            scores = read_scores(path)
            end, wanted = scores.frame.shape[1] * scores.frame_seconds, frames * frame_seconds
            if end < LEAST_COVERED * wanted:
                raise UserError(f"{path}: scores of {end:g} s, but clips are of {wanted:g} s (infer on whole clips)")
            found = resampled(_rows_of(scores, one, labels, path), scores.frame_seconds, frame_seconds, frames)
            if one.supervision == "weak" and one.targets is not None:  # classes without a tag are known to be absent
                tags = one.targets[np.arange(len(one))]  # of all clips (clips, classes); `Targets` take arrays of rows
                found = found * (tags > 0)[:, None]
            self._targets.append((found >= threshold if threshold > 0 else found).astype(np.float16))
            models = scores.attrs.get("ensemble") or [str(scores.attrs.get("model", path))]
            self.origins[one.name] = {"models": models, "threshold": threshold}
        if not self.origins:
            names = ", ".join(one.name for one in sets)
            raise UserError(
                f"--pseudo-labels {folder}: no <set>/scores.h5 of any training set ({names}): infer on them, and "
                "average the ensemble's (sed.bin.average_scores)"
            )

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return the targets (rows, frames, classes) float16 of these rows."""
        out = np.full((len(rows), *self.shape), np.nan, np.float16)
        set_index = np.searchsorted(self._starts, rows, side="right") - 1
        for k in np.unique(set_index):
            targets = self._targets[k]
            if targets is not None:
                out[set_index == k] = targets[rows[set_index == k] - self._starts[k]]
        return out


def _rows_of(scores: Scores, one: TrainingSet, labels: Sequence[str], path: Path) -> np.ndarray:
    """Return the posteriors (clips, frames, classes) of a set's clips, in its order.

    Raises:
        UserError: they are of other labels, or lack a clip.
    """
    if scores.labels != list(labels):
        raise UserError(
            f"{path}: labels {', '.join(scores.labels)}, not those of the dump (infer with models of its labels)"
        )
    row = {clip: index for index, clip in enumerate(scores.clips)}
    lacking = [clip for clip in one.store.clips if clip not in row]
    if lacking:
        raise UserError(f"{path}: no scores of {len(lacking)} clips, such as {lacking[0]} (infer on the set again)")
    return scores.frame[[row[clip] for clip in one.store.clips]]
