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


def mixed(one, other, weight, added, decibel):
    """Mix features (-inf beyond a clip's end) by amplitudes, or by powers if `added`; weight 1 is the first alone."""
    if weight == 1:
        return one
    per_decibel = np.log(10) / (10 if added else 20) / decibel
    with np.errstate(divide="ignore"):
        return np.log(weight * np.exp(one * per_decibel) + (1 - weight) * np.exp(other * per_decibel)) / per_decibel


def test_prepared_inputs_are_those_of_loops_over_clips(sets, tiny_config):
    """Shift, mixing, mask and band gains, in this order; a clip wraps at its own end, not at that of its padding."""
    front_end = FrontEnd.from_config(tiny_config())
    maker = maker_of(sets, mixup_alpha=1.0, mixup_probability=0.7, wavmix_probability=0.3)
    kinds = {"strong": range(4), "weak": range(4, 8), "unlabelled": range(8, 12)}
    short = masks = powers = 0
    for step in range(6):
        inputs = maker.make(step)
        clips, labels = [], []
        for k, (x, valid, shift) in enumerate(zip(inputs.features, inputs.valid, inputs.shift, strict=True)):
            clip = np.full(x.shape, -np.inf)
            clip[:valid] = np.roll(x[:valid].double().numpy(), 2 * int(shift), axis=0)  # 20 ms to 10 ms
            clips.append(clip)
            short += int(valid < len(x) and shift != 0)
            if k < 4:
                y = inputs.strong_targets[k].double().numpy()
                end = round(int(valid) / 2)
                labels.append(np.concatenate([np.roll(y[:end], int(shift), axis=0), y[end:]]))
        tags = list(inputs.weak_targets.double().numpy())
        features, valid, strong, weak = [], [], [], []
        for kind, members in kinds.items():
            weights, partners = getattr(inputs, f"{kind}_mix").tolist(), getattr(inputs, f"{kind}_partner").tolist()
            added = [False] * 4 if kind == "unlabelled" else getattr(inputs, f"{kind}_added").tolist()
            for k, (w, j, powers_added) in enumerate(zip(weights, partners, added, strict=True)):
                x = mixed(clips[members[k]], clips[members[j]], w, powers_added, front_end.decibel)
                both = inputs.valid[[members[k], members[j if w < 1 else k]]]
                valid.append(int(both.max()))
                x[: valid[-1]] = np.maximum(x[: valid[-1]], front_end.silence)
                powers += int(powers_added and w < 1)
                if kind == "unlabelled":
                    assert w == 1
                else:
                    y, found = (labels, strong) if kind == "strong" else (tags, weak)
                    union = powers_added and w < 1
                    found.append(np.maximum(y[k], y[j]) if union else w * y[k] + (1 - w) * y[j])
                if kind == "strong":
                    first, end = int(inputs.mask_start[k]), int(inputs.mask_start[k] + inputs.mask_width[k])
                    x[2 * first : 2 * end], found[-1][first:end] = front_end.silence, 0
                    masks += end - first
                x[valid[-1] :] = 0
                features.append(torch.from_numpy(x).float())
        options = {"input_frames": 112, "input_padding": "raw", "frame_seconds": 0.02}
        prepared = Preparation(front_end=front_end, wavmixed=True, **options)(inputs)
        for name, gain in (("student", inputs.student_gain), ("teacher", inputs.teacher_gain)):
            x = torch.stack(features) + front_end.decibel * gain[:, None]
            expected = front_end.normalise(x, torch.tensor(valid), 112, "raw")
            torch.testing.assert_close(getattr(prepared, name), expected, rtol=0, atol=1e-4)
        assert not torch.allclose(prepared.student, prepared.teacher, atol=1e-2)
        torch.testing.assert_close(prepared.strong_targets.double(), torch.from_numpy(np.stack(strong)))
        torch.testing.assert_close(prepared.weak_targets.double(), torch.from_numpy(np.stack(weak)))
    assert short and masks and powers


def test_labels_of_a_clip_that_is_longer_than_the_label_frames_wrap_within_them(sets, tiny_config):
    """The frames of the patch grid may end before the clip does."""
    maker = maker_of(sets, mixup_probability=0.0, filter_augment="none")
    inputs = maker.make(0)
    inputs = replace(inputs, strong_targets=inputs.strong_targets[:, :40], mask_width=0 * inputs.mask_width)
    found = prepare(inputs, tiny_config).strong_targets
    assert inputs.shift[:4].any()
    for y, wanted, shift in zip(found, inputs.strong_targets, inputs.shift.tolist(), strict=False):
        assert torch.equal(y, wanted.float().roll(shift, 0))


def test_augmentation_is_a_function_of_seed_and_step(sets):
    """Gains are of the augmentation alone; the choice of clips has random numbers of its own."""
    maker = maker_of(sets)
    maker.make(1)
    one, same = maker.make(4), maker_of(sets).make(4)
    assert torch.equal(one.student_gain, same.student_gain)
    for other in (maker.make(5), maker_of(sets, seed=4).make(4)):
        assert not torch.equal(one.student_gain, other.student_gain)


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
    assert "prefetch" in {thread.name for thread in threading.enumerate()}
    source.close()
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_shares_that_do_not_divide_are_refused(sets):
    with pytest.raises(UserError, match="4 strong clips per batch do not divide into 3"):
        maker_of(sets, shares=3)
    for k, kind in ((2, "weak"), (3, "unlabelled")):
        changed = [replace(one, batch_size=3) if place == k else one for place, one in enumerate(sets)]
        with pytest.raises(UserError, match=f"3 {kind} clips per batch do not divide into 2"):
            maker_of(changed, shares=2)


def test_the_tiny_model_has_the_label_frames_that_these_tests_assume(tiny_config):
    detector = build_detector(tiny_config(), 3)
    assert (detector.num_frames, detector.frame_seconds) == (50, 0.02)
