import pytest
import torch

from sed.training.benchmark import Benchmark, table, timed_precision, training_seconds

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def benchmark(tiny_config):
    return Benchmark(tiny_config(), device=CPU, repeats=2)


@pytest.mark.thorough
def test_each_row_of_the_table_has_a_time(benchmark):
    rows = [
        benchmark.step("step", accelerate_as="eager", precision="fp32"),
        benchmark.step("frozen step", accelerate_as="eager", precision="fp32", frozen=True),
        benchmark.bare_encoder("encoder", compiled=False),
        benchmark.heads("heads", graph=False),
        *benchmark.grus(),
        benchmark.inference(),
        benchmark.data(clips=24),
    ]
    assert all(row.clips_per_second > 0 and row.milliseconds > 0 for row in rows)
    assert len(table(rows).splitlines()) == 1 + len(rows)


@pytest.mark.parametrize(
    ("name", "device", "timed"),
    [("auto", "cuda", "bf16"), ("tf32", "cuda", "tf32"), ("fp32", "cuda", "fp32"), ("tf32", "cpu", "fp32")],
)
def test_steps_are_timed_in_the_config_s_precision(name, device, timed):
    assert timed_precision(name, torch.device(device)) == timed


@pytest.fixture
def tf32_switches():
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [switch.allow_tf32 for switch in switches]
    yield switches
    for switch, allowed in zip(switches, before, strict=True):
        switch.allow_tf32 = allowed


@pytest.mark.thorough
def test_data_are_timed_also_if_a_set_gives_more_clips_to_a_batch_than_the_dump_has(tiny_config):
    Benchmark(tiny_config(), device=CPU, repeats=1).data(clips=1)


@pytest.mark.thorough
def test_a_step_on_a_cpu_is_in_fp32_like_the_other_parts(tiny_config, monkeypatch):
    taken = []

    def make_step(config, *_args, **_options):
        taken.append(config["precision"])
        return lambda _inputs, _values: None

    monkeypatch.setattr("sed.training.benchmark.make_step", make_step)
    row = Benchmark(tiny_config(), device=CPU, repeats=1).step("step", accelerate_as="eager", precision="bf16")
    assert taken == ["fp32"] and row.work is not None


@pytest.mark.thorough
def test_parts_after_a_step_in_another_precision_are_timed_in_the_config_s(tiny_config, tf32_switches, monkeypatch):
    matmul, cudnn = tf32_switches
    benchmark = Benchmark(tiny_config(), device=CPU, repeats=1)
    assert not matmul.allow_tf32 and not cudnn.allow_tf32
    benchmark.precision = "tf32"
    monkeypatch.setattr("sed.training.benchmark.timed_precision", lambda precision, _: precision)  # as on a GPU
    assert benchmark.step("step", accelerate_as="eager", precision="fp32").work is None
    assert not matmul.allow_tf32
    benchmark.inference()
    assert matmul.allow_tf32 and cudnn.allow_tf32


@pytest.mark.thorough
def test_a_step_that_accumulates_is_timed_in_its_shares(tiny_config, monkeypatch):
    taken = []

    def make_step(*_args, **_options):
        return lambda inputs, _values: taken.append([len(one.weak_mix) for one in inputs])

    monkeypatch.setattr("sed.training.benchmark.make_step", make_step)
    config = tiny_config(batch_sizes=[2, 2, 4, 4], accumulate=2)
    Benchmark(config, device=CPU, repeats=1).step("step", accelerate_as="eager", precision="fp32")
    assert taken == [[2, 2]] * 4  # of 4 weak clips; 3 steps of warm-up


def test_a_normaliser_with_statistics_gets_those_of_the_random_features(tiny_config):
    front_end = Benchmark(tiny_config(normaliser="bins"), device=CPU).front_end
    assert front_end.normalise(torch.zeros(1, 100, 16), None, 112, "raw").isfinite().all()


@pytest.mark.thorough
def test_mixing_convolutions_are_timed_beside_plain_ones(tiny_config):
    cnn = {"encoder": "cnn", "cnn_width": 0.125, "pooling": "mean"}
    for convolution, kernels in (("fdy", 4), ("sk", 2)):
        found = Benchmark(tiny_config(**cnn, cnn_conv=convolution), device=CPU, repeats=2).convolutions()
        assert [row.name for row in found] == [
            "6 mixing convolutions",
            f"as many plain ones of {kernels} x the filters",
        ]
        assert all(row.milliseconds > 0 for row in found)
    assert Benchmark(tiny_config(**cnn), device=CPU, repeats=2).convolutions() == []


def test_the_paper_s_schedule_has_3940_steps_and_980_in_batches_of_48(tiny_config):
    config = tiny_config(epochs=10, steps_per_epoch=0, batch_sizes=[2, 2, 4, 4])
    assert training_seconds(config, 100.0, [3470, 10000, 1578, 14412]) == (3940, 394.0)  # at 100 ms per step
    config["batch_sizes"] = [8, 8, 16, 16]
    assert training_seconds(config, 100.0, [3470, 10000, 1578, 14412])[0] == 980


def test_frozen_epochs_are_estimated_by_the_time_of_a_frozen_step(tiny_config):
    config = tiny_config(epochs=10, steps_per_epoch=50, frozen_epochs=6)
    assert training_seconds(config, 100.0, [10, 10, 10, 10], 60.0) == (500, 0.06 * 300 + 0.1 * 200)
    assert training_seconds(config, 100.0, [10, 10, 10, 10]) == (500, 50.0)  # a frozen step was not timed
    config["encoder_lr"] = 0  # frozen in all epochs
    assert training_seconds(config, 100.0, [10, 10, 10, 10], 60.0) == (500, 30.0)


@pytest.mark.thorough
def test_only_an_ast_is_compared_with_hugging_face_s(tiny_config):
    assert Benchmark(tiny_config(encoder="cnn"), device=CPU, repeats=1).peer() is None


def test_the_estimated_training_is_as_short_as_most_passes_makes_it(tiny_config):
    config = tiny_config(epochs=10, steps_per_epoch=0, batch_sizes=[2, 2, 4, 4], most_passes=1)
    # The labelled set seen least is the first: one pass over it takes 50 steps. Ten epochs of 10 steps, a pass over the
    # third set each, would be 100.
    assert training_seconds(config, 100.0, [100, 50, 40, 1000]) == (50, 5.0)  # at 100 ms per step
