"""Reduce points of the curves of single classes to PSDS, as psds_eval and sed_scores_eval both do; compiled.

The curve of a class is a staircase: its true positive ratio (TPR) at an effective false positive rate (eFPR) x is the
highest of all points up to x. The PSD-ROC is the mean over classes - alpha_st * standard deviation, not below 0; PSDS
is the mean of the PSD-ROC over 0 .. e_max.
"""

from __future__ import annotations

import numpy as np

from sed.evaluation.metrics.jit import compiled


@compiled
def sweep(efpr, tpr, label, classes, alpha_st, e_max, areas):  # type: ignore[no-untyped-def]
    """Return the PSDS of points in any order, and write the area of each class into `areas`.

    Args:
        efpr: (n,) effective false positive rates, at most e_max.
        tpr: (n,) true positive ratios.
        label: (n,) class of each point, from 0.
        classes: number of classes.
        alpha_st: weight of the standard deviation over classes.
        e_max: largest effective false positive rate, in the unit of efpr.
        areas: (classes,) output: mean TPR of each class over 0 .. e_max.

    Returns:
        The PSDS, 0 to 1.
    """
    order = np.argsort(efpr)
    best = np.zeros(classes)
    areas[:] = 0.0
    area, x, index = 0.0, 0.0, 0
    height = 0.0
    while index < len(order):
        here = efpr[order[index]]
        area += height * (here - x)
        for k in range(classes):
            areas[k] += best[k] * (here - x)
        while index < len(order) and efpr[order[index]] == here:
            row = order[index]
            best[label[row]] = max(best[label[row]], tpr[row])
            index += 1
        height = max(0.0, best.mean() - alpha_st * best.std())
        x = here
    area += height * (e_max - x)
    for k in range(classes):
        areas[k] = (areas[k] + best[k] * (e_max - x)) / e_max
    return area / e_max
