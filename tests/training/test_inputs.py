import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from sed.data.batches import BatchSampler, FeaturePool, arrange, load_set
from sed.data.directory import DataDir
from sed.data.prepare.aggregation import shares
from sed.data.soft_events import write_soft_tsv
from sed.data.store import FeatureStore
from sed.data.targets import FrameTargets
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.detector import build_detector
from sed.training.augment import AugmentOptions
from sed.training.inputs import InputMaker, inputs_from
from sed.training.losses import frame_loss
from sed.training.step import Preparation

LABELS = ["Cat", "Dog", "Speech"]
SIZES = {"unlabelled": 4, "strong_real": 2, "weak": 4, "strong_synth": 2}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sets(dump):
    return arrange(
        [load_set(dump / name, LABELS, frames=50, frame_seconds=0.02, batch_size=b) for name, b in SIZES.items()]
    )


def maker_of(sets, *, shares=1, seed=3, cache="ram", **options):
    return InputMaker(
        sets,
        FeaturePool(sets, cache=cache, device=CPU),
        seed=seed,
        options=AugmentOptions(shift_seconds=0.1, mask_min_seconds=0.05, mask_max_seconds=0.2, **options),
        frames=50,
        frame_seconds=0.02,
        classes=3,
        shares=shares,
    )


def test_features_and_targets_belong_to_the_same_clips(dump, sets):
    maker = maker_of(sets)
    inputs, rows = maker.make(7), BatchSampler(sets, seed=3).rows(7)
    for slot, row in enumerate(rows[:2]):
        store, data = FeatureStore(dump / "strong_real"), DataDir.load(dump / "strong_real", LABELS)
        assert np.array_equal(inputs.features[slot].numpy(), store.read([row])[0])
        active = {LABELS[k] for k in range(3) if inputs.strong_targets[slot, :, k].any()}
        assert active == {event.label for event in data.events[store.clips[row]]}
    data, store = DataDir.load(dump / "weak", LABELS), FeatureStore(dump / "weak")
    for slot, row in enumerate(rows[4:8]):
        tags = {LABELS[k] for k in range(3) if inputs.weak_targets[slot, k]}
        assert tags == set(data.tags[store.clips[row - 9 - 14]])  # after the 9 and 14 clips of the strong sets


@pytest.mark.parametrize("cache", ["device", "none"])
def test_every_cache_gives_the_inputs_of_the_one_in_ram(sets, cache):
    a, b = (maker.fetched(maker.make(4)) for maker in (maker_of(sets, cache="ram"), maker_of(sets, cache=cache)))
    assert all(torch.equal(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)


def prepare(inputs, tiny_config):
    config = tiny_config()
    front_end = FrontEnd.from_config(config)
    return Preparation(front_end=front_end, input_frames=112, input_padding="raw", frame_seconds=0.02)(inputs)


def test_the_shares_together_are_the_whole_batch(sets, tiny_config):
    whole = prepare(maker_of(sets, mixup_probability=0.9).make(5), tiny_config)
    parts = [prepare(maker_of(sets, shares=2, mixup_probability=0.9).make(5, share), tiny_config) for share in (0, 1)]
    order = [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]  # strong, weak, unlabelled of share 0, then of share 1
    for name in ("student", "teacher"):
        assert torch.equal(getattr(whole, name)[order], torch.cat([getattr(p, name) for p in parts]))
    assert torch.equal(whole.strong_targets, torch.cat([p.strong_targets for p in parts]))
    assert torch.equal(whole.weak_targets, torch.cat([p.weak_targets for p in parts]))


def test_without_augmentation_the_models_see_the_front_end_s_output(sets, tiny_config):
    options = {"mixup_probability": 0.0, "filter_augment": "none"}
    maker = maker_of(sets, **options)
    maker.options = AugmentOptions(shift_seconds=0.0, mask_max_seconds=0.0, **options)
    inputs = maker.make(2)
    prepared = prepare(inputs, tiny_config)
    front_end = FrontEnd.from_config(tiny_config())
    assert torch.equal(prepared.student, front_end.normalise(inputs.features, inputs.valid, 112, "raw"))
    assert torch.equal(prepared.strong_targets, inputs.strong_targets.float())


def test_the_loss_of_soft_labels_is_the_mean_of_the_annotators_losses(dump, sets, tiny_config, tmp_path):
    folder = tmp_path / "strong_real"
    shutil.copytree(dump / "strong_real", folder)
    late = {clip: [e._replace(onset=e.onset + 0.1) for e in own if e.offset > e.onset + 0.1] for clip, own in
            DataDir.load(folder, LABELS).events.items()}  # fmt: skip
    annotators = [DataDir.load(folder, LABELS).events, late]
    write_soft_tsv(
        folder / "soft.tsv", {clip: shares([one[clip] for one in annotators], [0.75, 0.25]) for clip in late}
    )
    soft = load_set(folder, LABELS, frames=50, frame_seconds=0.02, batch_size=9)
    hard = []
    for events in annotators:
        targets = FrameTargets.of([events[clip] for clip in soft.store.clips], LABELS, frames=50, frame_seconds=0.02)
        hard.append(replace(soft, targets=targets))
    logits = torch.randn(9 + 2, 50, 3, generator=torch.Generator().manual_seed(0))
    losses = []
    for one in (soft, *hard):  # beside a set whose labels are hard
        maker = maker_of([one, *sets[1:]], mixup_probability=0.5, filter_augment="none")
        inputs = maker.make(1)
        assert inputs.strong_targets.dtype == (torch.float32 if one is soft else torch.uint8)
        losses.append(frame_loss(logits, prepare(inputs, tiny_config).strong_targets))
    assert losses[1] != losses[2]
    torch.testing.assert_close(losses[0], 0.75 * losses[1] + 0.25 * losses[2])


def test_labels_move_with_the_features(sets, tiny_config):
    maker = maker_of(sets, mixup_probability=0.0, filter_augment="none")
    maker.options = AugmentOptions(
        shift_seconds=0.3, mixup_probability=0.0, mask_max_seconds=0.0, filter_augment="none"
    )
    matched = total = 0
    for step in range(8):
        prepared = prepare(maker.make(step), tiny_config)
        # `tiny_training` adds 6 to five bins per label during its events: the bands say where these are
        for k in range(3):
            # about halfway between the normalised levels of background and events, -0.4 and 0.25
            loud = prepared.student[:4, :96, 5 * k : 5 * k + 5].mean(2) > -0.05
            there = prepared.strong_targets[:, :48, k].repeat_interleave(2, 1) > 0.5
            matched += int((loud == there).sum())
            total += there.numel()
    assert matched / total > 0.97  # label frames at an event's edges may differ


def test_prefetched_inputs_are_the_same_errors_are_raised_and_the_thread_ends(sets):
    maker = maker_of(sets)
    direct = list(inputs_from(maker, range(3, 9), [0], ahead=0))
    ahead = list(inputs_from(maker, range(3, 9), [0], ahead=2))
    assert [s for s, _ in ahead] == list(range(3, 9))
    for (_, (a,)), (_, (b,)) in zip(direct, ahead, strict=True):
        assert torch.equal(a.features, b.features) and torch.equal(a.student_gain, b.student_gain)

    class Broken(InputMaker):
        def __init__(self):
            pass

        def make(self, *_):
            raise UserError("dump: damaged")

    with pytest.raises(UserError, match="damaged"):
        list(inputs_from(Broken(), range(2), [0], ahead=2))
    source = inputs_from(maker, range(1000), [0], ahead=2)
    next(source)
    assert "inputs" in {thread.name for thread in threading.enumerate()}
    source.close()
    assert "inputs" not in {thread.name for thread in threading.enumerate()}


def test_shares_that_do_not_divide_are_refused(sets):
    with pytest.raises(UserError, match="do not divide into 3"):
        maker_of(sets, shares=3)


def test_the_tiny_model_has_the_label_frames_that_these_tests_assume(tiny_config):
    detector = build_detector(tiny_config(), 3)
    assert (detector.num_frames, detector.frame_seconds) == (50, 0.02)
