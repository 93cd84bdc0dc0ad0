"""PSDS (Bilen et al., arXiv 1910.08440): by psds_eval at operating points, and exactly by sed_scores_eval.

Three numbers are called PSDS in publications, and have separate entries here: psds_eval's at 50 thresholds (as in the
AST-SED paper), the threshold-free value (Ebbers et al. 2022), and PSDS2 as psds_eval <= 0.4 counted it, which takes the
mean cross-trigger rate over all K classes instead of the K - 1 others.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sed.data.scores import FrameScores
from sed.errors import UserError
from sed.evaluation.metrics.curves import sweep
from sed.evaluation.metrics.decode import Decoded
from sed.evaluation.metrics.packages import sed_scores_eval
from sed.evaluation.metrics.task import Problem

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Parameters of a PSDS.

    Attributes:
        dtc: detection tolerance criterion: the least share of a detection, 0 to 1, that true events of its class
            must cover; a detection that fails it is a false positive.
        gtc: ground truth intersection criterion: the least share of a true event, 0 to 1, that detections that meet
            dtc must cover, for the event to be found.
        cttc: cross-trigger tolerance criterion: a false positive also triggers another class if true events of that
            class cover at least this share of it, 0 to 1.
        alpha_ct: weight of cross-triggers in a class's effective false positive rate (eFPR), 0 to 1. The eFPR is its
            false positives per hour of recordings + alpha_ct * the mean, over the other classes, of its cross-triggers
            on that class per hour of that class's true events.
        alpha_st: weight of the standard deviation over classes, which is subtracted from the mean.
        e_max: largest eFPR, per hour; the curve is integrated up to it.
    """

    dtc: float
    gtc: float
    cttc: float
    alpha_ct: float
    alpha_st: float
    e_max: float

    def as_dict(self) -> dict[str, float]:
        """Return the parameters for result.json."""
        return asdict(self)


# With more classes than this, `intersections` and `exact_deltas` count instead of the packages: psds_eval's reduction
# (a table join per pair of classes) would take an hour, and sed_scores_eval's cross-triggers of all pairs do not fit
# into memory. Tests compare both with the packages.
MANY = 40
# of DCASE 2022 Task 4, as in DESED_task (D in egs/desed/README.md)
PSDS1 = Parameters(dtc=0.7, gtc=0.7, cttc=0.3, alpha_ct=0.0, alpha_st=1.0, e_max=100.0)
PSDS2 = Parameters(dtc=0.1, gtc=0.1, cttc=0.3, alpha_ct=0.5, alpha_st=1.0, e_max=100.0)


def own_parameters(
    dtc: float | None,
    gtc: float | None,
    cttc: float | None,
    alpha_ct: float | None,
    alpha_st: float | None,
    e_max: float | None,
) -> Parameters | None:
    """Return the parameters of a custom PSDS (`Parameters` explains them); those that are None are PSDS1's.

    Args:
        dtc: detection tolerance criterion, 0 to 1.
        gtc: ground truth intersection criterion, 0 to 1.
        cttc: cross-trigger tolerance criterion, 0 to 1.
        alpha_ct: weight of cross-triggers, 0 to 1.
        alpha_st: weight of the standard deviation over classes, finite and at least 0.
        e_max: largest effective false positive rate per hour, finite and above 0.

    Returns:
        The parameters; None when all arguments are None.

    Raises:
        UserError: a value is out of range.
    """
    given = {"dtc": dtc, "gtc": gtc, "cttc": cttc, "alpha_ct": alpha_ct, "alpha_st": alpha_st, "e_max": e_max}
    if all(value is None for value in given.values()):
        return None
    values = PSDS1.as_dict() | {name: float(value) for name, value in given.items() if value is not None}
    for name, value in values.items():
        if name in ("dtc", "gtc", "cttc", "alpha_ct"):
            within, allowed = 0.0 <= value <= 1.0, "0 to 1"
        elif name == "e_max":
            within, allowed = 0.0 < value < np.inf, "a finite number above 0"
        else:
            within, allowed = 0.0 <= value < np.inf, "a finite number, 0 or above"
        if not within:
            raise UserError(f"--{name.replace('_', '-')} {value:g} is out of range ({allowed})")
    return Parameters(**values)


@dataclass(frozen=True, kw_only=True)
class PSDSValue:
    """A PSDS, {label: mean of its own curve over 0 .. e_max} of the classes with ground truth, and the PSD-ROC.

    The PSD-ROC is the curve of effective true positive ratios, etpr (points,), over rates per hour, efpr (points,).
    Both are empty if there is none (`psds_resampling.value_of_many`).
    """

    value: float
    per_class: dict[str, float]
    efpr: np.ndarray
    etpr: np.ndarray

    @property
    def class_mean(self) -> float:
        """Mean area over classes: the PSDS without the penalty on differences between classes (alpha_st 0)."""
        return float(np.mean(list(self.per_class.values())))


def evaluator(problem: Problem, parameters: Parameters) -> Any:
    """Return psds_eval's evaluator of the classes that have ground truth; the package cannot count the others."""
    import pandas as pd  # here: predict imports this module, and pandas takes half a second
    from psds_eval import PSDSEval

    class Evaluator(PSDSEval):
        """psds_eval without its checks for overlaps, which join each table with itself (gigabytes on noisy output).

        No table here has overlaps: detections are decoded from scores, or merged when they are read. The check that an
        event does not end before its onset is left out too: readers and decoders give no such events.
        """

        def _validate_input_table_with_events(self, df: pd.DataFrame, name: str) -> None:
            self._validate_simple_dataframe(df, self.detection_cols, name, allow_empty=True)

    labels = [problem.labels[index] for index in problem.present]
    metadata = pd.DataFrame({"filename": problem.clips, "duration": problem.durations})
    return Evaluator(
        dtc_threshold=parameters.dtc,
        gtc_threshold=parameters.gtc,
        cttc_threshold=parameters.cttc,
        ground_truth=problem.frame(problem.truth),
        metadata=metadata,
        class_names=labels,
    )


def count_points(
    problem: Problem, parameters: Parameters, decoded: Decoded, points: Sequence[int] | None = None
) -> pd.DataFrame:
    """Count operating points by psds_eval.

    Args:
        problem: clips, classes and ground truth.
        parameters: the criteria.
        decoded: decisions at each operating point.
        points: indices of the operating points to count; None: all.

    Returns:
        psds_eval's table (rates and counts of each point), which `value_of` reduces to a PSDS.
    """
    counter = evaluator(problem, parameters)
    known = np.isin(np.arange(len(problem.labels)), problem.present)
    with warnings.catch_warnings():
        # psds_eval warns that it skips an operating point equal to an earlier one, which does not change the PSDS.
        warnings.simplefilter("ignore")
        for point in range(decoded.points) if points is None else points:
            table = decoded.at(point)
            counter.add_operating_point(problem.frame(table.where(known[table.label])))
    return counter.operating_points


def value_of(
    problem: Problem, parameters: Parameters, points: pd.DataFrame, *, counted_by_04: bool = False
) -> PSDSValue:
    """Reduce a table of operating points to a PSDS.

    Args:
        problem: clips, classes and ground truth.
        parameters: of the PSDS.
        points: tables of `count_points`, concatenated.
        counted_by_04: weigh cross-triggers as psds_eval up to 0.4 did.

    Returns:
        The PSDS with its PSD-ROC.
    """
    counter = evaluator(problem, parameters)
    classes = len(problem.present)
    if classes == 1:  # no other class to trigger: the package would take the mean of nothing
        points = points.assign(ctr=[np.zeros((1, 1)) for _ in range(len(points))])
    counter.operating_points = points
    # A class never triggers itself: the mean over K classes is that over the K - 1 others times (K - 1) / K.
    alpha_ct = parameters.alpha_ct * ((classes - 1) / classes if counted_by_04 else 1.0)
    with warnings.catch_warnings():
        # psds_eval uses deprecated functions of pandas and numpy. For a single class it also takes the mean of no
        # curves over cross-triggers, which are not used.
        warnings.simplefilter("ignore")
        psds = counter.psds(alpha_ct=alpha_ct, alpha_st=parameters.alpha_st, max_efpr=parameters.e_max)
        # (points, classes); `ctr` is (points, classes, classes), NaN where a class would trigger itself.
        efpr = np.stack(points.fpr.tolist()) + alpha_ct * np.nanmean(np.stack(points.ctr.tolist()), axis=2)
    inside = efpr <= parameters.e_max
    label = np.broadcast_to(np.arange(classes), efpr.shape)[inside]
    areas = np.empty(classes)  # by `sweep`: psds_eval takes as long for the areas of classes as for all the rest
    tpr = np.stack(points.tpr.tolist())[inside]
    sweep(efpr[inside], tpr, label, classes, parameters.alpha_st, parameters.e_max, areas)
    xs, ys = psds.plt.xp, psds.plt.yp
    kept = xs <= parameters.e_max
    return PSDSValue(
        value=float(psds.value),
        # psds_eval sorts its classes by name
        per_class=dict(zip(sorted(problem.labels[i] for i in problem.present), map(float, areas), strict=True)),
        efpr=xs[kept],
        etpr=ys[kept],
    )


@dataclass(frozen=True, kw_only=True)
class Deltas:
    """Changes of one class's counts as the threshold falls, one row for each score and clip that changes them.

    Attributes:
        score: (rows,) scores, highest first; the counts change when the threshold falls below this score.
        clip: (rows,) index of the clip whose counts change.
        tp: (rows,) change of the true positives.
        fp: (rows,) change of the false positives.
        ct_first: (rows + 1,) the cross-triggers of row r are the items ct_first[r] to ct_first[r + 1] - 1 of ct_label
            and ct_change.
        ct_label: (items,) class that is triggered, counted among the classes with ground truth.
        ct_change: (items,) change of the cross-triggers of that class.
    """

    score: np.ndarray
    clip: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    ct_first: np.ndarray
    ct_label: np.ndarray
    ct_change: np.ndarray


def score_frames(problem: Problem, scores: FrameScores) -> dict[str, pd.DataFrame]:
    """Return scores of the classes with ground truth as sed_scores_eval takes them: {clip: table}."""
    create = sed_scores_eval().base_modules.scores.create_score_dataframe
    labels = [problem.labels[index] for index in problem.present]
    frames = {}
    for clip, rows in scores.items():
        borders = np.append(scores.onset[rows], scores.offset[rows][-1:])
        frames[clip] = create(scores.values[rows][:, problem.present].astype(float), borders, labels)
    return frames


def truth_lists(problem: Problem) -> dict[str, list[tuple[float, float, str]]]:
    """Return ground truth as sed_scores_eval takes it: {clip: [(onset, offset, label)]}, touching events joined."""
    truth: dict[str, list[tuple[float, float, str]]] = {clip: [] for clip in problem.clips}
    table = problem.joined.truth
    for clip, label, onset, offset in zip(table.clip, table.label, table.onset, table.offset, strict=True):
        truth[problem.clips[clip]].append((float(onset), float(offset), problem.labels[label]))
    return truth


def exact(
    problem: Problem, parameters: Parameters, scores: FrameScores, *, median: float = 0.0
) -> tuple[PSDSValue, list[Deltas]]:
    """Measure the threshold-free PSDS by sed_scores_eval.

    Args:
        problem: clips, classes and ground truth.
        parameters: of the PSDS.
        scores: frame scores of the problem's clips.
        median: length in seconds of a median filter (the package's) that is applied to the scores first; 0 for none.

    Returns:
        The value, and for each class with ground truth the changes of the counts that it is computed from.
    """
    package = sed_scores_eval()
    labels = [problem.labels[index] for index in problem.present]
    frames, truth = score_frames(problem, scores), truth_lists(problem)
    if median:
        frames = package.base_modules.postprocessing.medfilt(frames, median)
    crossing = parameters.alpha_ct > 0 and len(labels) > 1  # a single class triggers no other
    criteria = {
        "dtc_threshold": parameters.dtc,
        "gtc_threshold": parameters.gtc,
        "cttc_threshold": parameters.cttc if crossing else None,
    }
    deltas = package.intersection_based.intermediate_statistics.intermediate_statistics_deltas(
        frames, truth, **criteria
    )
    value, per_class, (etpr, efpr), _ = package.intersection_based.psds(
        None,
        truth,
        dict(zip(problem.clips, map(float, problem.durations), strict=True)),
        deltas=deltas,
        **criteria,
        alpha_ct=parameters.alpha_ct if crossing else 0.0,
        alpha_st=parameters.alpha_st,
        max_efpr=parameters.e_max,
    )
    result = PSDSValue(
        value=float(value),
        per_class={label: float(per_class[label]) for label in labels},
        efpr=np.asarray(efpr, float),
        etpr=np.asarray(etpr, float),
    )
    return result, [_deltas_of(deltas, problem.clips, label, labels) for label in labels]


def _deltas_of(deltas: Any, clips: Sequence[str], label: str, labels: Sequence[str]) -> Deltas:
    """Convert the package's {clip: {label: (scores, {count: changes})}} to the changes of one class."""
    parts = [deltas[clip][label] for clip in clips]
    score = np.concatenate([part[0] for part in parts])
    clip = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part[0]) for part in parts])
    order = np.argsort(-score, kind="stable")
    tp, fp = (np.concatenate([part[1][key] for part in parts]).astype(np.int32)[order] for key in ("tps", "fps"))
    ct = np.zeros((len(score), len(labels)), np.int16)
    for column, other in enumerate(labels):
        if other != label and f"cts\\{other}" in parts[0][1]:
            ct[:, column] = np.concatenate([part[1][f"cts\\{other}"] for part in parts])[order]
    row, crossed = np.nonzero(ct)
    return Deltas(
        score=score[order],
        clip=clip[order],
        tp=tp,
        fp=fp,
        ct_first=np.searchsorted(row, np.arange(len(score) + 1)),
        ct_label=crossed.astype(np.int16),
        ct_change=ct[row, crossed],
    )
