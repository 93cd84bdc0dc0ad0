from sed.evaluation.reports.results_table import Row, difference


def test_differences_from_the_reference_compare_values_and_not_their_spelling():
    config = {"epochs": 10, "upsample": 1, "encoder_lr": 5e-6, "batch_sizes": [2, 4], "clip_seconds": 10.0, "seed": 3}
    row = Row(name="x", set="validation", results=[{"model": {"config": config}}])
    reference = {
        "upsample": 10,
        "encoder_lr": "5e-6",
        "batch_sizes": "2,4",
        "clip_seconds": 10,
        "epochs": 10,
        "seed": 1,
    }
    assert difference(row, reference) == "upsample 1 (10)"
    assert difference(row, reference | {"epochs": 12, "encoder_lr": 0.001}) == (
        "encoder_lr 5e-06 (0.001), epochs 10 (12), upsample 1 (10)"
    )
    assert difference(row, reference | {"upsample": 1}) == "none"
    assert difference(Row(name="x", set="validation", results=[{}]), reference) == "no configuration"
