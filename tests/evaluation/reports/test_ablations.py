from sed.evaluation.reports.ablations import HEADS, Ablation, aligned, differences, markdown, rows

REFERENCE = {"pooling": "fte", "upsample": 10}


def ablation(name, f1, **config):
    result = {
        "clips": 9,
        "clips_expected": 10,
        "event_f1_macro": f1,
        "psds1": 0.5,
        "model": {"parameters": 103_918_090},
    }
    return Ablation(name=name, config={**REFERENCE, **config}, result=result)


def test_rows_have_the_papers_numbers_beside_ours():
    table = rows(
        [
            ablation("ast_sed", 0.6),
            ablation("upsample_10", 0.6),
            ablation("ast_gru", None, pooling="mean", upsample=1),
            ablation("fte_only", 0.57, upsample=1),
            ablation("clip_max", 0.5, clip_pooling="max"),
        ],
        REFERENCE,
    )
    assert table[0] == ("ast_sed", "-", "103.9 M", "9 of 10", "60.00", "59.60", "0.5000", "0.5140")
    assert table[1][1:] == table[0][1:]  # the same config under another name
    assert table[2][4:] == ("-", "55.20", "0.5000", "0.4537")
    assert table[3][5] == "above AST-GRU's"
    assert table[4][1] == "clip_pooling max" and table[4][5] == "-"
    assert len(aligned(table).splitlines()) == 6
    assert markdown(table, "validation").count("\n| ") == 6
    assert len(HEADS) == len(table[0])


def test_differences():
    assert differences({"upsample": 5, "pooling": "fte"}, REFERENCE) == "upsample 5"
    assert differences(REFERENCE, REFERENCE) == "-"
    assert differences({"upsample": 10.0, "pooling": "fte"}, REFERENCE) == "-"
    assert differences({**REFERENCE, "lr": "5e-6"}, {**REFERENCE, "lr": 0.000005}) == "-"
    assert differences({**REFERENCE, "features": "/conf/x.yaml", "init_from": "ast_sed"}, REFERENCE) == "-"
