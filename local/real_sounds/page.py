"""RESULTS.md of egs/real_sounds: its configs, the paper's results for them, and the text around the tables.

Systems are those of the paper (egs/desed/README.md): CRNN; AST-GRU; LGD only and FTE only, with one of the paper's two
additions to AST-GRU (local GRU decoder, frequency-wise transformer encoder); AST-SED with both. The ratio is the number
of output frames per patch in time of the AST.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.real_sounds import protocols
from sed.evaluation.metrics.table import BY_KEY, over_seeds, shown_in
from sed.evaluation.reports.seeds import limits, tables, trials
from sed.evaluation.reports.seeds.remarks import Remarks, footnotes, without_faulty
from sed.evaluation.reports.seeds.runs import all_runs
from sed.evaluation.reports.seeds.tables import Margins, Pair, Results, values_of


def _pair(a: str, b: str, f1: str, psds1: str, title: str) -> Pair:
    """Return a comparison of config b with config a: the paper's differences as shown, and the row's title."""
    return Pair(a=a, b=b, title=title, published={"event_f1_macro": f1, "psds1": psds1})


def _way(name: str) -> str:
    """Return how the encoder of a rival is trained, for a row's title.

    All rivals with this rate of the encoder freeze it for the first six epochs (`protocols.FROZEN`; PANN-RNN's own
    config does).
    """
    return ", its encoder frozen first" if name.endswith("_encoder_lr_0.0003") else ""


def _parts(pooling: str, ratio: int) -> str:
    """Return which of the two parts of AST-SED a config of `protocols.CARRIED` has, for a row's title."""
    return {("fte", False): "FTE only", ("mean", True): "LGD only", ("fte", True): "FTE and LGD"}[pooling, ratio > 1]


HALF = "mixup_probability_0.5"  # in names of configs that are trained with mixup of half of the clips (run.sh --vary)
# Config a, config b that is compared with it, the paper's differences in EB-F1 (points) and PSDS1 (words where it gives
# no number, a dash where it says nothing), and the row's title.
PAIRS = (
    _pair("ast_gru", "ast_sed", "+4.40", "+0.06", "AST-SED over AST-GRU"),
    _pair("crnn", "ast_gru", "+4.70", "+0.053", "AST-GRU over the CRNN"),
    _pair("crnn", "ast_sed", "+9.10", "+0.113", "AST-SED over the CRNN"),
    _pair("ast_gru", "fte_only", "above 0", "above 0", "FTE only (ratio 1) over AST-GRU"),
    _pair("ast_gru", "lgd_only", "above 0", "above 0", "LGD only over AST-GRU"),
    _pair("ast_gru", "ratio_2", "–", "–", "FTE with ratio 2 over AST-GRU"),
    _pair("ast_gru", "ratio_5", "–", "–", "FTE with ratio 5 over AST-GRU"),
    _pair("ast_sed", "fte_only", "–", "–", "ratio 1 instead of 10"),
    _pair("ast_sed", "ratio_2", "–", "–", "ratio 2 instead of 10"),
    _pair("ast_sed", "ratio_5", "about 0", "about 0", "ratio 5 instead of 10"),
    _pair("crnn", "ast_gru_tuned", "–", "–", "protocol B: AST-GRU over the CRNN"),
    _pair("ast_gru_tuned", "lgd_only_tuned", "–", "–", "protocol B: LGD only over AST-GRU"),
    _pair("ast_gru_tuned", "fte_only_tuned", "–", "–", "protocol B: FTE only over AST-GRU"),
    _pair("ast_gru_tuned", "ast_sed_tuned", "–", "–", "protocol B: AST-SED over AST-GRU"),
    _pair(f"ast_gru_{HALF}", f"ast_sed_{HALF}", "–", "–", "mixup of half of the clips: AST-SED over AST-GRU"),
    _pair(f"ast_gru_{HALF}", f"fte_only_{HALF}", "–", "–", "mixup of half of the clips: FTE only over AST-GRU"),
    _pair(f"ast_gru_{HALF}", f"lgd_only_{HALF}", "–", "–", "mixup of half of the clips: LGD only over AST-GRU"),
    *(
        _pair(name, "ast_sed_tuned", "–", "–", f"AST-SED of protocol B over {title}{_way(name)}")
        for name, title in protocols.COMPARATORS.items()
    ),
    _pair("ast_sed", "ast_sed_tuned", "–", "–", "AST-SED of protocol B over that of protocol A"),
    *(
        _pair("ast_sed_tuned", name, "–", "–", f"{title}, over AST-SED of protocol B")
        for name, title in protocols.BEYOND.items()
    ),
    *(
        _pair(configs[protocols.PLAIN], name, "–", "–", f"{encoder}: {_parts(*kind)} over the mean without upsampling")
        for encoder, configs in protocols.CARRIED.items()
        for kind, name in configs.items()
        if encoder != "AST" and kind != protocols.PLAIN  # those of the AST are above
    ),
    _pair("ast_sed", "atst_sed", "–", "–", "ATST-Frame with LGD over AST-SED"),
    _pair("ast_sed", "beats_sed", "–", "–", "BEATs with FTE and LGD over AST-SED"),
    *(
        _pair(f"bi_crnn{end}", f"bi_crnn_pseudo{end}", "–", "–", f"Bi-CRNN: with pseudo-labels over without{_way(end)}")
        for end in ("", protocols.FROZEN)
    ),
)
# configs in the page's order; all others come after them
KNOWN = (
    *("crnn", "ast_gru", "ast_sed", "fte_only", "lgd_only", "ratio_2", "ratio_5"),
    *("ast_gru_tuned", "lgd_only_tuned", "fte_only_tuned", "ast_sed_tuned"),
    *protocols.COMPARATORS,
    *protocols.OTHER_ENCODERS,
    *protocols.BEYOND,
)
VARIED = ("_clip_pooling_", "_frozen_epochs_", f"gru_{HALF}", f"only_{HALF}")
"""parts of names of experiments that are not each compared with AST-SED: they have tables of their own (`protocols`);
AST-SED with HALF is compared, since it differs from AST-SED in mixup alone"""
BOXES = "_csebbs"
"""end of the name of a config whose events are decided by change-detection bounding boxes (cSEBBs)"""
RATIOS = ("fte_only", "ratio_2", "ratio_5", "ast_sed")  # AST-SED at 1, 2, 5 and 10 output frames per patch in time


PROTOCOL_A = (
    "All AST systems have one clip pooling (linear softmax) and one training of the encoder: at 1/20 of the head's "
    "rate, as in the paper, from the first epoch on, which was chosen on a split of the training sources "
    "(`tuning/regime.json`) before validation was scored. Mean ± standard deviation over seeds; differences over the "
    "seeds that both systems have, with 95 % intervals over clips and seeds, both paired. The paper's figures are on "
    "DESED with the AudioSet AST: what compares is the order and the differences. PSDS1 subtracts the spread over "
    "classes; its mean over classes does not."
)
PROTOCOL_B = (
    "Each AST system with the clip pooling, frozen epochs and learning rates that were best for it on a smaller "
    "soundbank (`conf/real_sounds/*_tuned.yaml`); the CRNN is that of protocol A. On a split of the training sources "
    "of the present soundbank (`tuning/regime.json`: one seed, half of the steps) protocol A's regime had the highest "
    "PSDS1 for each of them. In trainings of the full length it is level with protocol B's for FTE only and AST-SED, "
    "and far behind for AST-GRU and LGD only."
)
COMPARATORS = (
    "The paper's rivals beside AST-GRU and AST-SED of both protocols: all encoders pre-trained on the same "
    "soundscapes for the same number of steps and clips, all detectors trained for the same number of steps. Each "
    "rival is trained in two ways, without a choice between them: at one learning rate for the whole network from the "
    "first epoch on, and as protocol B trains AST-SED; the AST systems in those of protocols A and B, which were "
    "chosen for them on splits of training sources; no rival was tuned. Pseudo-labels are by a Bi-CRNN of the same "
    "seed, trained in the same way. Mixup, losses and the sets in the batches of 48 clips are FB-CRNN's and Bi-CRNN's "
    "own (their configs say what differs). EB-F1 is at a threshold of 0.5 with the same median filters for all."
)
CARRIED = (
    "AST-SED's two parts on other encoders of the AST's width and depth: the frequency-wise transformer (FTE) instead "
    "of the mean over frequency, and the upsampling of the local GRU decoder (LGD). All encoders are pre-trained on "
    "the same soundscapes for the same number of steps (`conf/real_sounds/pretrain*.yaml` say what differs). All "
    "detectors are trained as in protocol A, whose AST systems are the AST's rows; only features and padding of the "
    "input are the encoder's. ATST-Frame has one band, so no FTE. Differences are from the same encoder with the mean "
    "and without LGD, with 95 % intervals over clips and seeds, both paired."
)
BEYOND = (
    "Options beyond the paper, each on top of the one before unless its row says otherwise, for FTE only, the best AST "
    "system of protocol B. A second stage has 1,000 steps after those of the model that it starts from. No row was "
    "chosen: all that were trained are here."
)
GRID = (
    "EB-F1 in per cent and PSDS1 (seeds) with the encoder at the rate of protocol A; the cells of "
    "protocol A's clip pooling and frozen epochs are its trainings. Protocol B's have another rate of the encoder. A "
    "number in parentheses at a clip pooling or a gain is that of a remark under the table of all systems."
)
MIXUP = (
    "EB-F1 in per cent and PSDS1 (seeds) by the share of clips that are mixed and the encoder's learning rate, "
    "else trained as protocol A."
)
LENGTHS_TEXT = (
    "Per cent of the events of each length, those of all seeds and classes together, that are found within the collars "
    "of EB-F1."
)
COLLARS_TEXT = (
    "Mean over classes and seeds, in per cent. At offsets the collar is at least a fifth of the event's length."
)
FRAGMENTS_TEXT = (
    "Per cent of all events: split, more than one detection of the class lies in it, each by more than half of its own "
    "length; merged, a detection of the class holds more than half of it and of another one."
)
BOXES_TEXT = (
    "The same models, decided by change-detection bounding boxes (cSEBBs) {settings}, and the gain over the median "
    "filters with its 95 % interval."
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """The contents of the page.

    A run is one campaign: all configs and seeds trained together.

    Attributes:
        results: {config: the results of its seeds} of the newest run.
        margins: differences between two configs, from `reduce.margin` of sed.evaluation.reports.seeds.
        corpus: `clips` of each set, `median_seconds` of each label, `sources` of each split (by label: the number of
            original recordings, and that of the soundbank's files cut from them).
        tagging: JSON of evaluate_tagger.
        training: {config: its metrics on clips that it was trained on}.
        pictures: {"figure3" or "gains": path relative to the page}.
        trials: single trainings with other settings, from `trials.rows`.
        finding: the conclusion in a few sentences, written by hand.
        remarks: hand-written, on trainings of the newest run or on the run.
        earlier: {run: its results without faulty trainings}.
    """

    results: Results
    margins: Margins = ()
    corpus: Mapping[str, Any] = field(default_factory=dict)
    tagging: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    trials: Sequence[Mapping[str, Any]] = ()
    finding: str = ""
    remarks: Remarks = ()
    earlier: Mapping[str, Results] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the whole page."""
        lines = [
            "# Results on real sounds",
            "",
            "Generated from `results/` alone by `python3 -m local.real_sounds.report`; do not edit.",
            "",
            *([self.finding, ""] if self.finding else []),
            *self._protocols(),
            *self._errors(),
            *self._boxes(),
            *self._corpus(),
            *self._systems(),
            *footnotes(self.remarks),
            *self._margins(),
            *self._runs(),
            *self._classes(),
            *self._bands(),
            *self._limits(),
            *self._trials(),
            "## Every seed",
            "",
            *tables.every_seed(ordered(self.results), self.remarks),
        ]
        return "\n".join(lines).rstrip() + "\n"

    def _corpus(self) -> list[str]:
        if not self.corpus:
            return []
        sizes = ", ".join(f"{name} {clips}" for name, clips in self.corpus["clips"].items())
        return [
            f"Clips of ten seconds: {sizes}. Training clips are made of the soundbank's `train` sounds alone, "
            "validation clips of its `validation` sounds alone. The two should share no source (an original recording, "
            "of which a soundbank may have several files); the recipe does not check this.",
            "",
            "```bash",
            "egs/real_sounds/run.sh --soundbank DIR",
            "```",
            "",
        ]

    def _systems(self) -> list[str]:
        return [
            "## Systems",
            "",
            "Mean ± standard deviation over seeds; the configs are in `conf/real_sounds/` (`_<key>_<value>`: with "
            "another value of this key; `_csebbs`: the same models, decided by change-detection bounding boxes). PSDS1 "
            "and PSDS2 are computed at 50 thresholds, PSDS1 exact at all. Rates are those of head and encoder; seconds "
            "are of training, with other trainings on the same machine.",
            "",
            *tables.systems(ordered(self.results), self.remarks),
        ]

    def _margins(self) -> list[str]:
        of_grid = protocols.grid_pairs(self.results)
        shown = [one for one in self.margins if (one["a"], one["b"]) not in of_grid]
        if not shown:
            return []
        return [
            "## Margins",
            "",
            "Difference of the means, and its 95 % interval over validation clips and over seeds, both paired (a "
            "sample draws the same clips and the same seeds for both systems). The paper's are on DESED with the "
            "AudioSet AST. Those of the grid are in its section.",
            "",
            *tables.margins(shown, PAIRS, self.remarks),
        ]

    def _runs(self) -> list[str]:
        if not self.earlier:
            return []
        now = ordered(without_faulty(self.results, self.remarks))
        runs = {"this run": now, **{f"`{name}`": results for name, results in self.earlier.items()}}
        means, margins = all_runs(runs, pairs({config for results in runs.values() for config in results}))
        return [
            "## All runs",
            "",
            "EB-F1 in per cent and PSDS1 of the same configs in earlier runs too, whose main numbers are in "
            "`results/runs.jsonl` (all others were removed when the run was archived); in brackets of how many seeds. "
            "Trainings that a run's remarks call faulty are left out. A seed's trainings in several runs resemble each "
            "other, or are the same: over all runs, mean ± standard deviation, a seed counts once.",
            "",
            *means,
            "Differences of trainings of the same seed in the same run, over the seeds of all runs; with Student's "
            "95 % interval, seeds as the sample, on the same clips.",
            "",
            *margins,
        ]

    def _classes(self) -> list[str]:
        chosen = {(one["a"], one["b"]): one for one in self.margins}
        gain = chosen.get(("ast_gru", "ast_sed"))
        if gain is None:
            return []
        names = ("AST-SED − AST-GRU", "AST-GRU − CRNN")
        seconds = self.corpus.get("median_seconds", {})
        picture = self.pictures.get("gains")
        return [
            "## Gains by class",
            "",
            "Shortest events first. In the paper AST-SED gains 9.62 points of EB-F1 over AST-GRU for Speech and 9.61 "
            "for Dog, and little for Running_water and Vacuum_cleaner.",
            "",
            *([f"![EB-F1 that AST-SED gains over AST-GRU, class by class]({picture})", ""] if picture else []),
            *tables.class_gains(gain, chosen.get(("crnn", "ast_gru")), seconds, names),
        ]

    def _protocols(self) -> list[str]:
        lines = []
        for head, text, rows in (
            (
                "Protocol A: the paper's regime",
                PROTOCOL_A,
                protocols.protocol_a(self.results, self.margins, self.remarks),
            ),
            (
                "Protocol B: the best of each",
                PROTOCOL_B,
                protocols.protocol_b(self.results, self.margins, self.remarks),
            ),
            (
                "The paper's rivals, pre-trained alike",
                COMPARATORS,
                protocols.comparators(self.results, self.margins, self.remarks),
            ),
            (
                "The two parts on other encoders",
                CARRIED,
                protocols.carried(self.results, self.margins, self.remarks),
            ),
            ("Beyond the paper", BEYOND, protocols.beyond(self.results, self.margins, self.remarks)),
            ("Clip pooling and frozen epochs", GRID, protocols.grid(self.results, self.margins, self.remarks)),
            ("Mixup and the encoder's rate", MIXUP, protocols.mixup(self.results)),
        ):
            lines += [f"## {head}", "", text, "", *rows] if rows else []
        return lines

    def _errors(self) -> list[str]:
        """Return the tables of events found by length, of EB-F1 by collar, and of split and merged events."""
        shown = {name: runs for name, runs in ordered(self.results).items() if name in KNOWN}
        lines = []
        for head, text, rows in (
            ("Events found, by their length", LENGTHS_TEXT, tables.lengths(shown)),
            ("EB-F1, by the collar", COLLARS_TEXT, tables.collars(shown)),
            ("Events in pieces, and events run together", FRAGMENTS_TEXT, tables.fragments(shown)),
        ):
            lines += [f"## {head}", "", text, "", *rows] if rows else []
        return lines

    def _boxes(self) -> list[str]:
        """Return the table of bounding boxes, for the systems that were scored with them, too."""
        found = [name for name in ordered(self.results) if f"{name}{BOXES}" in self.results]
        if not found:
            return []
        by_pair = {(one["a"], one["b"]): one["numbers"] for one in self.margins}
        rows = []
        for name in found:
            numbers = by_pair.get((name, f"{name}{BOXES}"), {})
            cells = [tables.difference(numbers.get(entry.key), entry) for entry in shown_in("main")]
            means = [over_seeds(entry, self.results[name + BOXES]) for entry in shown_in("main")]
            marks = protocols.marked(self.remarks, name + BOXES, self.results[name + BOXES])
            rows.append([f"`{name}`{marks}", str(len(self.results[name + BOXES])), *means, *cells])
        heads = ["system", "seeds", *(entry.column for entry in shown_in("main"))]
        heads += [f"gain: {tables.unit_of_difference(entry)}" for entry in shown_in("main")]
        defaults = [name for name in found if not all(run.get("tuned_on") for run in self.results[name + BOXES])]
        but = f"; {', '.join(f'`{name}`' for name in defaults)}: with default settings" if defaults else ""
        settings = f"tuned for each system on a split of the training sources (`tuning/csebbs/`{but})"
        if defaults == found:
            settings = "with default settings"
        text = BOXES_TEXT.format(settings=settings)
        return ["## Change-detection bounding boxes", "", text, "", *tables.table(heads, rows)]

    def _bands(self) -> list[str]:
        """Return the picture of the paper's figure 3: EB-F1 by class and frequency band."""
        picture = self.pictures.get("figure3")
        if picture is None:
            return []
        return [
            "## Figure 3",
            "",
            "EB-F1 of the trained AST-GRU (first seed) with one frequency band instead of the mean over all bands, "
            "divided by that of the class's best band.",
            "",
            f"![Frequency bands that carry each class]({picture})",
            "",
        ]

    def _limits(self) -> list[str]:
        # The section is on the paper's best system that was trained.
        best = next((name for name in ("ast_sed", "ast_gru", "crnn") if name in self.results), None)
        if best is None:
            return []
        runs = self.results[best]
        sources = self.corpus.get("sources", {}).get("train", {})
        rows, points = limits.by_sources(runs, sources, self.tagging.get("ap", {}))
        properties = {
            "the number of its training sources": [(float(count), psds) for count, _, psds in points],
            "the pre-trained AST's tagging AP": [(ap, psds) for _, ap, psds in points if ap is not None],
        }
        map_ = self.tagging.get("map")
        lines = [
            *([] if map_ is None else [f"Tagging mAP of the pre-trained AST on the validation clips: {map_:.3f}."]),
            *limits.seen_and_unseen([*dict.fromkeys([best, *self.training])], self.results, self.training),
            *limits.correlations(properties),
            *limits.by_length(best, runs),
            *_pretraining(self.margins),
            *_ratios(self.results),
        ]
        if not rows and not lines:
            return []
        heads = ["class", "training sources", "recordings", "tagging AP", f"EB-F1 % of `{best}`", "PSDS1"]
        listed = [*(f"- {line}" for line in lines), ""] if lines else []
        return ["## What limits the rest", "", *(tables.table(heads, rows) if rows else []), *listed]

    def _trials(self) -> list[str]:
        if not self.trials:
            return []
        steps, clips = (" or ".join(map(str, sorted({row[key] for row in self.trials}))) for key in ("steps", "clips"))
        return [
            "## Ways tried",
            "",
            f"One training of {steps} steps each, scored on {clips} clips of sources that it had not seen: a split of "
            "the training sources, as `tune.sh` makes it. No choice was made on validation.",
            "",
            *trials.trial_table(self.trials, self.remarks),
        ]


def pairs(configs: set[str]) -> list[Pair]:
    """Return every comparison that these configs allow.

    These are PAIRS; the systems in the rows of the grid; bounding boxes with the median filters of the same model; and
    each other config, but for those of VARIED, with AST-SED.
    """
    named = [pair for pair in PAIRS if {pair.a, pair.b} <= configs]
    named += [Pair(a=a, b=b) for a, b in protocols.grid_pairs(configs)]
    plain = {config for config in configs if not any(part in config for part in VARIED)}
    boxes = {config for config in plain if config.removesuffix(BOXES) in configs and config.endswith(BOXES)}
    named += [Pair(a=config.removesuffix(BOXES), b=config) for config in sorted(boxes)]
    beyond = [Pair(a="ast_sed", b=config) for config in sorted(plain - boxes - {*KNOWN}) if "ast_sed" in configs]
    return named + beyond


def ordered(results: Results) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return the results in the page's order: configs of KNOWN as listed there, then all others by name."""
    names = [*(name for name in KNOWN if name in results), *sorted(set(results) - {*KNOWN})]
    return {name: results[name] for name in names}


def _pretraining(margins: Margins) -> list[str]:
    """Return a note that compares the gain of the encoder (CRNN to AST-GRU) and of both parts (AST-GRU to AST-SED)."""
    gains = {(one["a"], one["b"]): (one["numbers"].get("psds1") or {}).get("value") for one in margins}
    encoder, parts = gains.get(("crnn", "ast_gru")), gains.get(("ast_gru", "ast_sed"))
    if encoder is None or parts is None:
        return []
    return [
        f"PSDS1 moves by {encoder:+.4f} from the CRNN to the pre-trained AST (AST-GRU) and by {parts:+.4f} from "
        "AST-GRU to AST-SED (FTE and LGD)."
    ]


def _ratios(results: Results) -> list[str]:
    """Return a note that compares the effect of the output's time resolution with that of the seed."""
    of_seeds = values_of(results.get("ast_sed", []), "psds1")
    found = limits.range_of_means(RATIOS, results, "psds1")
    if found is None or not of_seeds:
        return []
    (low, least), (high, most) = found
    psds1 = BY_KEY["psds1"]
    spread = f"; seeds of `ast_sed` spread by {psds1.plain(statistics.stdev(of_seeds))}" if len(of_seeds) > 1 else ""
    return [
        f"Over the ratios of the decoder PSDS1 goes from {psds1.plain(least)} (`{low}`) to {psds1.plain(most)} "
        f"(`{high}`){spread}."
    ]
