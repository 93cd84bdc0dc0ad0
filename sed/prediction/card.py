"""Model card of a packed model: description, training data, scores, and how to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sed.checkpoints.importers import LICENCES
from sed.errors import UserError
from sed.evaluation.metrics.table import shown_in
from sed.evaluation.postprocessing.stored import from_stored, to_stored
from sed.evaluation.reports.markdown import prose, text
from sed.evaluation.reports.weights import RANDOM, UNKNOWN, weights_of
from sed.prediction.front_matter import front_matter

if TYPE_CHECKING:
    from sed.checkpoints.checkpoint import LoadedModel
    from sed.evaluation.postprocessing.pipeline import PostProcessing
    from sed.prediction.window_settings import WindowSettings

NOT_STATED = "Not stated."
CAUTION = (
    "Expect reliable results only on recordings similar to the training data; the model is not made for decisions "
    "about people or for safety."
)


def card(
    name: str,
    model: LoadedModel,
    post: PostProcessing,
    windows: WindowSettings,
    results: Mapping[str, Any],
    *,
    which: str,
    data: str,
    licence: str,
    intended_use: str,
) -> str:
    """Return a model card in Markdown; fields without a value are listed as not stated.

    Args:
        name: name of the model.
        model: the model, with its config and training facts.
        post: its post-processing.
        windows: window settings for long recordings.
        results: {set: content of its result.json}.
        which: packed network, `teacher` or `student`; unused for imported models.
        data: description of the training data, in the author's words.
        licence: licence of the weights.
        intended_use: intended use, in the author's words.

    Returns:
        Markdown.
    """
    config, info = model.config, model.info
    parameters = sum(p.numel() for p in model.detector.parameters())
    detector, front_end = model.detector, model.front_end
    thresholds = zip(model.labels, post.thresholds(model.labels), strict=True)
    facts = [
        f"Labels: {', '.join(map(text, model.labels))}",
        f"A posterior every {detector.frame_seconds * 1000:g} ms; clips of {front_end.clip_seconds:g} s at "
        f"{front_end.sample_rate} Hz, longer recordings by windows",
        f"Encoder {config.get('encoder')}, pooling {config.get('pooling')}, upsampling {config.get('upsample')}, "
        f"{parameters / 1e6:.1f} M parameters, {_origin(info, which)}",
        f"Post-processing: {', '.join(post.names) or 'none'}",
        f"Longer recordings: {windows} ({_chosen(windows)})",
        f"Thresholds: {', '.join(f'{text(label)} {value:g}' for label, value in thresholds)}",
    ]
    trained = ("command", "git", "seed", "step", "device", "seconds")
    sections = {
        "": "\n".join(f"- {fact}" for fact in facts),
        "Use": "```\npython3 -m sed.bin.predict --model <this folder> recording.wav\n```",
        "Training data": prose(data) or NOT_STATED,
        "Results": _results(results, post, model.labels),
        "Intended use": prose(intended_use) or f"{NOT_STATED} {CAUTION}",
        "Licence": _licence(licence, config, info),
        "Training": "\n".join(f"- {key}: {text(str(info[key]))}" for key in trained if info.get(key) is not None),
    }
    parts = [f"{front_matter(name, licence, results)}# {prose(name)}: sound event detection", sections.pop("")]
    parts += [f"## {title}\n\n{body}" for title, body in sections.items() if body]
    return "\n\n".join(parts) + "\n"


def _licence(licence: str, config: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    if imported := info.get("imported"):
        known = f"The weights are those of {text(str(imported['file']))}: {text(str(imported['licence']))}."
        return "\n\n".join([*([prose(licence)] if licence else []), known])
    return "\n\n".join([prose(licence) or NOT_STATED, *licences_of_the_start(config, info)])


def licences_of_the_start(config: Mapping[str, Any], info: Mapping[str, Any]) -> list[str]:
    """Return a paragraph on the licence of the weights that training started from; empty if it is not known."""
    started, encoder = weights_of({"model": {**info, "config": config}}), config.get("encoder", "")
    if started in (RANDOM, UNKNOWN) or encoder not in LICENCES:
        return []
    return [f"Training started from {text(started)}; published weights of this encoder are {LICENCES[encoder]}."]


def _origin(info: Mapping[str, Any], which: str) -> str:
    imported = info.get("imported")
    if not imported:
        return "the teacher (moving average of the weights)" if which == "teacher" else "the student"
    return (
        f"imported with its head of {imported['classes']} classes from {text(str(imported['file']))}, not trained here"
    )


def _chosen(windows: WindowSettings) -> str:
    tuned = windows.tuned_on
    if not tuned:
        return "not tuned"
    if "recordings" in tuned:
        return (
            f"chosen on {text(str(tuned['recordings']))} recordings of {text(str(tuned.get('minutes')))} minutes in all"
        )
    bank = text(str(tuned.get("soundbank") or "synthetic sounds"))
    return f"chosen on {text(str(tuned.get('minutes')))} minutes of soundscapes mixed from {bank}"


def _results(results: Mapping[str, Any], post: PostProcessing, labels: Sequence[str]) -> str:
    if not results:
        return "None: the model was packed without scores."
    entries = shown_in("card")
    heads = [f"{entry.title} ({entry.counted_by})" for entry in entries]
    lines = [f"| set | clips | {' | '.join(heads)} |", "|---|---|" + "---|" * len(entries)]
    for name, result in results.items():
        shown = [entry.text(result.get(entry.key)) for entry in entries]
        clips = f"{result.get('clips')} of {result.get('clips_expected')}"
        lines.append(f"| {prose(name)} | {clips} | {' | '.join(shown)} |")
    if others := [prose(name) for name, result in results.items() if _is_of_others(result, post, labels)]:
        lines += ["", f"Scored with other post-processing or thresholds than this model has: {', '.join(others)}."]
    return "\n".join(lines)


def _is_of_others(result: Mapping[str, Any], post: PostProcessing, labels: Sequence[str]) -> bool:
    """Return whether a result states other post-processing or thresholds than `post`."""
    if not isinstance(stored := result.get("post_processing"), dict):
        return False
    try:
        scored = from_stored({**stored, "threshold": result.get("threshold")}, labels, "")
    except UserError:  # of other labels, or of another version
        return False
    return to_stored(scored) != to_stored(post)
