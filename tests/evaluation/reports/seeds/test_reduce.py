import json
import sys

import numpy as np
import pytest

from sed.bin import real_sounds_results
from sed.data.tables import Event, write_durations_tsv, write_events_tsv
from sed.evaluation.confidence import bootstrap
from sed.evaluation.confidence.paired import System, paired
from sed.evaluation.reports.seeds import gains, limits, page, reduce, runs, trials

LABELS = ("Dog", "Frying")
TRUTH = {"a": [Event(1.0, 1.3, "Dog"), Event(2.0, 9.0, "Frying")], "b": [Event(0.0, 0.8, "Dog")]}
SAMPLES = 40


def put(exp, name, seed, f1, *, folder="validation", noise=None):
    """A scored experiment: f1 plus what its seed adds, and samples that move with `noise`."""
    at = exp / f"{name}_seed{seed}" / folder
    at.mkdir(parents=True)
    numbers = dict.fromkeys(reduce.NUMBERS, f1) | {"psds2": None}
    per_class = {
        label: {"ground_truth": True, "events": 2, **dict.fromkeys(reduce.CLASS_NUMBERS, f1)} for label in LABELS
    }
    per_class["Absent"] = {"ground_truth": False, "events": 0, **dict.fromkeys(reduce.CLASS_NUMBERS)}
    model = {"config": {"lr": 0.001, "encoder_lr": 0.0001}, "parameters": 5_000_000, "step": 2000, "seconds": 60.0,
             "device": "a device"}  # fmt: skip
    set_name = "strong_real" if folder == "strong_real" else "validation"
    result = {"set": set_name, "clips": 2, "clips_expected": 2, **numbers, "per_class": per_class, "model": model,
              "post_processing": {"steps": ["median"]}, "git": "abc"}  # fmt: skip
    (at / "result.json").write_text(json.dumps(result))
    write_events_tsv(at / "events.tsv", {"a": [Event(1.05, 1.3, "Dog"), Event(2.0, 5.0, "Frying")], "b": []})
    names = ["event_f1_macro", "psds1", *(f"{label}\t{n}" for label in LABELS for n in reduce.CLASS_NUMBERS[:2])]
    drawn = np.concatenate([[0.0], np.zeros(SAMPLES) if noise is None else noise])
    values = np.tile(f1 + drawn, (len(names), 1))
    bootstrap.save(at / "bootstrap.npz", bootstrap.Samples(names=names, values=values, clips="the same", seed=0))


@pytest.fixture
def exp(tmp_path):
    """AST-GRU and AST-SED of two seeds each; a seed moves both alike, and so do the clips that are drawn."""
    noise = np.random.default_rng(0).normal(0, 0.05, SAMPLES)
    for seed, luck in ((1, 0.0), (2, 0.1)):
        put(tmp_path / "exp", "ast_gru", seed, 0.3 + luck, noise=noise)
        put(tmp_path / "exp", "ast_sed", seed, 0.4 + luck, noise=noise)
    put(tmp_path / "exp", "ast_sed", 1, 0.45, folder="csebbs", noise=noise)
    put(tmp_path / "exp", "ast_sed", 1, 0.9, folder="strong_real")
    put(tmp_path / "exp", "crnn", 3, 0.1, noise=noise)  # no seed in common with anyone
    return tmp_path / "exp"


def test_events_are_found_within_the_collars_and_a_detection_is_used_once():
    truth = {"a": [Event(1.0, 1.3, "Dog"), Event(1.1, 1.4, "Dog"), Event(2.0, 9.0, "Dog")]}
    detections = {"a": [Event(1.05, 1.35, "Dog"), Event(2.19, 7.7, "Dog")], "b": [Event(0, 1, "Dog")]}
    table = reduce.found_by_length(truth, detections)
    assert table["Dog"]["under 0.5 s"] == [1, 2]
    assert table["Dog"]["over 3 s"] == [1, 1]  # a collar of a fifth of seven seconds at its end
    assert reduce.found_by_length(truth, {"a": [Event(1.05, 1.35, "Cat")]})["Dog"]["under 0.5 s"] == [0, 2]
    assert reduce.length_of(0.5) == "0.5 to 1 s"


def test_experiments_are_found_by_config_and_seed(exp):
    found = reduce.find(exp, "validation")
    assert {name: sorted(there) for name, there in found.items()} == {
        "ast_gru": [1, 2], "ast_sed": [1, 2], "ast_sed_csebbs": [1], "crnn": [3],
    }  # fmt: skip
    assert reduce.find(exp, "public_eval") == {}


def test_a_result_is_reduced_to_what_the_page_needs(exp):
    small = reduce.reduced(exp / "ast_sed_seed2" / "validation" / "result.json", "ast_sed", 2, TRUTH)
    assert small["event_f1_macro"] == 0.5 and small["psds2"] is None and small["steps"] == 2000
    assert set(small["per_class"]) == set(LABELS)
    assert small["by_length"]["Dog"]["under 0.5 s"] == [1, 1] and small["by_length"]["Frying"]["over 3 s"] == [0, 1]
    assert len(json.dumps(small)) < 4000


def test_margins_pair_clips_and_seeds(exp):
    found = reduce.find(exp, "validation")
    one = reduce.margin("ast_gru", "ast_sed", found)
    assert one["seeds"] == [1, 2]
    for key in ("value", "low", "high"):  # what clips and seeds do to both is no part of the difference
        assert one["numbers"]["event_f1_macro"][key] == pytest.approx(0.1, abs=1e-5)
    assert one["per_class"]["Dog"]["event_f1"]["value"] == pytest.approx(0.1)
    assert one["numbers"]["psds2"] is None
    assert reduce.margin("crnn", "ast_sed", found) is None


def test_unpaired_seeds_widen_the_interval(exp):
    def system(name):
        return reduce.system(name, [exp / f"{name}_seed{seed}" / "validation" / "result.json" for seed in (1, 2)])

    a, b = system("ast_gru"), system("ast_sed")
    together = paired(a, b, "psds1", same_seeds=True)
    apart = paired(a, b, "psds1")
    assert together.value == pytest.approx(apart.value)
    assert apart.high - apart.low > 0.05 > together.high - together.low
    turned = System(name="b", paths=b.paths[::-1], results=b.results[::-1], samples=b.samples[::-1])
    assert paired(a, turned, "psds1", same_seeds=True).low < 0.05  # the pairs are by place


def test_pairs_are_the_papers_and_what_goes_beyond():
    assert page.pairs(["ast_gru", "ast_sed", "ast_sed_best"]) == [
        ("ast_gru", "ast_sed"),
        ("ast_sed", "ast_sed_best"),
    ]
    assert page.pairs(["ast_sed", "ast_sed_long", "ast_sed_best"])[-1] == ("ast_sed_long", "ast_sed_best")
    assert page.pairs(["crnn", "mine"]) == []


def test_the_page_says_that_second_stages_train_longer(exp):
    first = reduce.reduced(exp / "ast_sed_seed1" / "validation" / "result.json", "ast_sed", 1, TRUTH)
    results = {"ast_sed": [first], "ast_sed_best": [{**first, "config": "ast_sed_best", "steps": 1000}]}
    text = page.report(results, [], {})
    assert "on top of the 2000 steps of the model that each starts from, `ast_sed_best` 1000 steps more" in text
    assert "it is not among these results" in text
    text = page.report(results | {"ast_sed_long": [{**first, "steps": 3000}]}, [], {})
    assert "`ast_sed_long` is AST-SED with 3000 steps" in text
    assert "Second stages" not in page.report({"ast_sed": [first]}, [], {})


def test_all_runs_are_told_together_but_for_what_was_faulty():
    def system(*values):
        return [
            {"seed": n, "event_f1_macro": 2 * value, "psds1": value, "psds2": value / 2}
            for n, value in enumerate(values, 1)
        ]

    now = {"ast_gru": system(0.18, 0.20, 0.22), "ast_sed": system(0.26, 0.28, 0.30)}
    before = {"ast_gru": system(0.17, 0.21, 0.99), "ast_sed": system(0.23), "ast_sed_second": system(0.3, 0.9)}
    before["crnn"] = system(0.5)
    faulty = {"names": ["ast_gru_seed3", "ast_sed_second_seed2", "crnn_seed1"], "text": "no", "faulty": True}
    before = trials.without(before, [faulty, {"names": ["ast_gru_seed1"], "text": "slow"}])
    assert runs.section(now, {}, {}) == []
    pairs = {("ast_gru", "ast_sed"): "SED over GRU", ("ast_sed", "ast_sed_second"): "second", ("crnn", "ast_gru"): "x"}
    page = "\n".join(runs.section(now, {"first": before}, pairs))
    told = "| `ast_gru` | 40.00, 0.2000 (3) | 38.00, 0.1900 (2) |"
    assert f"{told} 40.00 ± 4.58 | 0.2000 ± 0.0229 | 0.1000 ± 0.0115 |" in page
    assert "| `ast_sed_second` | – | 60.00, 0.3000 (1) | 60.00 | 0.3000 | 0.1500 |" in page
    # By hand: differences of 0.07 (of 0.08 and 0.06), 0.08 and 0.08, whose standard error is 1 / 300; t = 4.303.
    assert "| SED over GRU | 3 | 4 | +15.33 [+12.46, +18.20] | +0.0767 [+0.0623, +0.0910] |" in page
    assert "second |" not in page.split("Differences")[1] and "crnn" not in page


def test_a_number_that_one_of_two_lacks_is_in_no_difference():
    gru = [{"seed": n, "event_f1_macro": 0.2, "psds1": 0.1, "psds2": 0.3} for n in (1, 2)]
    sed = [{**run, "event_f1_macro": n / 10, "psds1": n / 10, "psds2": None} for n, run in enumerate(gru, 1)]
    now = {"ast_gru": gru, "ast_sed": sed}
    page = "\n".join(runs.section(now, {"first": now}, {("ast_gru", "ast_sed"): "SED over GRU"}))
    # By hand: differences 0.1 apart, whose standard error is 0.05; t = 12.706.
    assert "| SED over GRU | 2 | 4 | -5.00 [-68.53, +58.53] | +0.0500 [-0.5853, +0.6853] | – |" in page


def test_what_is_faulty_in_this_run_is_in_no_sum_of_runs(exp):
    now = {
        "ast_sed": [
            reduce.reduced(exp / f"ast_sed_seed{n}/validation/result.json", "ast_sed", n, TRUTH) for n in (1, 2)
        ]
    }
    before = {"ast_sed": [{**now["ast_sed"][0], "seed": 3}]}
    remark = {"names": ["ast_sed_seed2"], "text": "Slow."}

    def told():
        text = page.report(now, [], {}, remarks=[remark], others={"before": before})
        return text.split("## All runs")[1]

    assert "| `ast_sed` | 45.00, 0.4500 (2) | 40.00, 0.4000 (1) | 43.33 ± 5.77 | 0.4333 ± 0.0577 | – |" in told()
    remark["faulty"] = True
    assert "| `ast_sed` | 40.00, 0.4000 (1) | 40.00, 0.4000 (1) | 40.00 ± 0.00 | 0.4000 ± 0.0000 | – |" in told()


def results(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["real_sounds_results", *map(str, args)])
    with pytest.raises(SystemExit) as stop:
        real_sounds_results.main()
    return stop.value.code


def test_the_page_is_made_of_the_small_files_alone(exp, tmp_path, monkeypatch):
    dump = tmp_path / "dump"
    for name in ("weak", "validation", "pseudo_seed1"):
        (dump / name).mkdir(parents=True)
        write_durations_tsv(dump / name / "durations.tsv", {"a": 10.0, "b": 10.0})
    write_events_tsv(dump / "validation" / "events.tsv", TRUTH)
    (tmp_path / "sources.json").write_text(json.dumps({"train": {"Dog": [4, 20], "Frying": [2, 5]}}))
    tagging = {"set": "validation", "clips": 2, "map": 0.8, "ap": {"Dog": 0.9, "Frying": 0.7}, "model": "x"}
    (tmp_path / "tagging.json").write_text(json.dumps(tagging))
    options = ["--exp", exp, "--dump", dump, "--sources", tmp_path / "sources.json"]
    options += ["--tagging", tmp_path / "tagging.json"]
    assert results(monkeypatch, *options, tmp_path / "results", tmp_path / "RESULTS.md") == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert results(monkeypatch, tmp_path / "results", tmp_path / "again.md") == 0
    assert (tmp_path / "again.md").read_text() == page
    assert "| `ast_sed` | 2 | 45.00 ± 7.07 | 0.4500 ± 0.0707 | – |" in page
    assert "| AST-SED over AST-GRU | 2 | +10.00 [+10.00, +10.00] | +4.40 | +0.1000 [+0.1000, +0.1000] | +0.06 |" in page
    assert (
        "`ast_sed_csebbs` over `ast_sed`" in page
        and "mAP of the pre-trained AST on the validation clips: 0.800" in page
    )
    assert "`ast_sed` (seed 1) has an EB-F1 of 90.0 % on the strong_real clips" in page
    assert "](results/gains.png)" in page and (tmp_path / "results" / "gains.png").stat().st_size > 1000
    assert "figure3.png" not in page
    assert "pseudo" not in page.split("##")[0] and str(tmp_path) not in page
    assert not [path for path in (tmp_path / "results").glob("*.json") if str(tmp_path) in path.read_text()]


def test_ways_and_remarks_have_their_place_on_the_page(exp, tmp_path, monkeypatch):
    small = reduce.reduced(exp / "ast_sed_seed2" / "validation" / "result.json", "ast_sed", 2, TRUTH)
    at = tmp_path / "results"
    at.mkdir()
    (at / "ast_sed_seed2.json").write_text(json.dumps(small))
    remarks = [
        {"names": ["ast_sed_seed2", "b"], "text": "Something was wrong."},
        {"names": [], "text": "All else not."},
    ]
    (at / "remarks.json").write_text(json.dumps(remarks))
    for name, lr, upsample, psds1 in (("a", 1e-3, 10, 0.2), ("b", 1e-4, 10, 0.3), ("c", 1e-4, 1, 0.1)):
        config = {"encoder": "ast", "pooling": "fte", "upsample": upsample, "lr": lr, "seed": psds1, "epochs": 7}
        folder = tmp_path / "ways" / name / "validation"
        folder.mkdir(parents=True)
        result = dict.fromkeys(reduce.NUMBERS, 0.25) | {"psds1": psds1, "per_class": {}}
        result |= {"set": "validation", "clips": 6, "clips_expected": 6, "model": {"config": config, "step": 700}}
        (folder / "result.json").write_text(json.dumps(result))
    assert results(monkeypatch, "--ways", tmp_path / "ways", at, tmp_path / "RESULTS.md") == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| `ast_sed` (1) | 1 | 50.00" in page and "| `ast_sed` (1) | 2 | 50.00" in page  # of the config, of the seed
    assert (
        "\n(1) Something was wrong.\n\nAll else not.\n" in page
        and "One training of 700 steps each, scored on 6 clips" in page
    )
    rows = [
        "| `ast_sed` (1) | lr 0.0001 | 25.0 | 0.300 |",
        "| `ast_sed` | lr 0.001 | 25.0 | 0.200 |",
        "| `fte_only` |  |",
    ]
    assert 0 < page.index(rows[0]) < page.index(rows[1]) < page.index(rows[2])


def test_no_results_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "results").mkdir()
    assert results(monkeypatch, tmp_path / "results", tmp_path / "RESULTS.md") == 2
    assert "no results (score first" in capsys.readouterr().err
    assert results(monkeypatch, "--exp", tmp_path, tmp_path / "results", tmp_path / "RESULTS.md") == 2
    assert not (tmp_path / "RESULTS.md").exists()


def run_of(seed, f1, psds1, found):
    per_class = {label: {"event_f1": f1, "psds1": psds1 * (1 + k)} for k, label in enumerate(("Dog", "Cat", "Rain"))}
    by_length = {"Dog": {name: [found, 10] for name in reduce.LENGTHS} | {"over 3 s": [9, 10], "1 to 3 s": [0, 0]}}
    return {"seed": seed, "event_f1_macro": f1, "psds1": psds1, "per_class": per_class, "by_length": by_length}


def test_the_limits_are_worded_from_the_numbers():
    results = {"ast_sed": [run_of(1, 0.3, 0.20, 1), run_of(2, 0.5, 0.22, 3)], "ast_gru": [run_of(1, 0.2, 0.1, 0)]}
    results |= {name: [run_of(1, 0.3, psds1, 0)] for name, psds1 in (("fte_only", 0.15), ("ratio_2", 0.25))}
    sources = {"sources": {"train": {"Rain": [9, 9], "Cat": [5, 7], "Dog": [2, 3], "Elsewhere": [1, 1]}}}
    tagging = {"map": 0.8, "ap": {"Dog": 0.9, "Cat": 0.8, "Rain": 0.7}}
    training = {"ast_sed": {"seed": 1, "set": "strong_real", "event_f1_macro": 0.75}}
    margins = [
        {"a": a, "b": b, "numbers": {"psds1": {"value": value}}}
        for a, b, value in (("crnn", "ast_gru", 0.05), ("ast_gru", "ast_sed", 0.11))
    ]
    text = "\n".join(limits.limits(results, margins, sources, tagging, training))
    assert "75.0 % on the strong_real clips" in text and "30.0 % on validation: of the 70.0 points" in text
    assert "25.0 are missing on its training clips too and 45.0 only" in text
    assert "number of its training sources: +1.00 (3 classes" in text and "tagging AP: -1.00" in text
    assert "least of the events of under 0.5 s (20.0 %) and most of those of over 3 s (90.0 %)" in text
    assert "moves by +0.0500 from the CRNN" in text and "by +0.1100 from" in text
    assert "from 0.1500 (`fte_only`) to 0.2500 (`ratio_2`); seeds of `ast_sed` spread by 0.0141" in text
    assert text.index("| Dog | 2 | 3 | 0.900 | 40.0 |") < text.index("| Rain | 9")
    assert "Elsewhere" not in text


def test_what_was_not_measured_is_not_said():
    assert limits.limits({"mine": []}, [], {}, {}, {}) == []
    text = "\n".join(limits.limits({"crnn": [{**run_of(3, 0.2, 0.1, 1), "by_length": {}}]}, [], {}, {}, {}))
    assert text == ""


def test_gains_are_drawn_shortest_events_first(exp):
    one = reduce.margin("ast_gru", "ast_sed", reduce.find(exp, "validation"))
    axes = gains.gains(one, {"Dog": 3.0, "Frying": 0.5}).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["Frying\n0.5 s", "Dog\n3.0 s"]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([10, 10])
    nothing = {**one, "per_class": {"Dog": {"event_f1": None}}}
    assert gains.gains(nothing, {}) is None
