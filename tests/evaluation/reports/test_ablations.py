from sed.evaluation.postprocessing.median import PAPER_MEDIAN
from sed.evaluation.reports.ablations import HEADS, Ablation, Reference, aligned, markdown, rows

REFERENCE = Reference(name="ast_sed", config={"pooling": "fte", "upsample": 10})
PAPER_F1 = HEADS.index("paper")  # the first of the columns of this name is that of EB-F1


def ablation(name, f1, start="ast.pth", expected=1168, **config):
    result = {
        "set": "validation",
        "clips": 9,
        "clips_expected": expected,
        "per_class": {label: {} for label in PAPER_MEDIAN},
        "event_f1_macro": f1,
        "psds1": 0.5,
        "model": {"parameters": 103_918_090, "config": {} if start is None else {"pretrained": start}},
    }
    return Ablation(name=name, config={**REFERENCE.config, **config}, result=result)


def test_rows_have_the_papers_numbers_beside_ours():
    ablations = [
        ablation("ast_sed", 0.6),
        ablation("upsample_10", 0.6),
        ablation("ast_gru", None, pooling="mean", upsample=1),
        ablation("fte_only", 0.57, upsample=1),
        ablation("clip_max", 0.5, clip_pooling="max"),
        ablation("crnn_wide", 0.5, pooling="mean", upsample=1),
        ablation("crnn", 0.5, pooling="mean", upsample=1),
    ]
    table = rows(ablations, REFERENCE)
    assert table[0] == ("ast_sed", "-", "ast.pth", "103.9 M", "9 of 1168", "60.00", "59.60", "0.5000", "0.5140")
    assert table[1][1:] == table[0][1:]  # the same config under another name
    assert table[2][5:] == ("-", "55.20", "0.5000", "0.4537")
    assert table[3][PAPER_F1] == "above AST-GRU's"
    assert table[4][1] == "clip_pooling max" and table[4][PAPER_F1] == "-"
    assert (table[5][PAPER_F1], table[6][PAPER_F1]) == ("50.50", "-")  # the paper's CRNN is most probably the wide one
    assert len(aligned(table).splitlines()) == 1 + len(ablations)
    text = markdown(ablations, REFERENCE)
    assert (
        text.count("\n| ") == 1 + len(ablations)
        and text.startswith("# Ablations on validation")
        and "Not pretrained" not in text
    )
    assert len(HEADS) == len(table[0])


def test_a_config_that_equals_another_reference_has_the_numbers_of_that_one():
    gru = {"pooling": "mean", "upsample": 1}
    for name, published in (("ast_gru", "55.20"), ("mine", "-")):
        table = rows([ablation(name, 0.5, **gru), ablation("again", 0.5, **gru)], Reference(name=name, config=gru))
        assert [row[PAPER_F1] for row in table] == [published] * 2


def test_an_option_that_only_the_reference_sets_is_a_difference():
    plain = Ablation(name="plain", config={}, result=ablation("plain", 0.5).result)
    table = rows([plain], Reference(name="slow", config={"ema_decay": 0.99, "epochs": 10}))
    assert table[0][1] == "ema_decay 0.999"  # the default; that of epochs is 10


def test_the_paper_stands_beside_no_other_set():
    table = rows([ablation("ast_sed", 0.6, expected=120), ablation("fte_only", 0.6, expected=120)], REFERENCE)
    assert [row[5:] for row in table] == [("60.00", "-", "0.5000", "-")] * 2


def test_rows_that_were_not_pretrained_are_marked():
    ablations = [
        ablation("ast_sed", 0.6, start=None),
        ablation("fte_only", 0.6, start=""),
        ablation("lgd_only", 0.6, start="none"),
    ]
    assert [row[2] for row in rows(ablations, REFERENCE)] == ["unknown", "random", "random"]
    assert "**Not pretrained, from random weights: fte_only, lgd_only; " in markdown(ablations, REFERENCE)
