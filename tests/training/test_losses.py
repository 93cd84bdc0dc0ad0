import math

import torch

from sed.training import losses


def test_objective_equals_a_hand_computation():
    # Two clips (one strong, one weak), one frame, one class; logits 0 are posteriors 1/2.
    total, parts = losses.objective(
        student_logits=torch.tensor([[[0.0]], [[math.log(3)]]]),  # posteriors 1/2, 3/4
        student_clip=torch.tensor([[0.5], [0.8]]),
        teacher_logits=torch.tensor([[[math.log(3)]], [[0.0]]]),  # 3/4, 1/2
        teacher_clip=torch.tensor([[0.5], [0.6]]),
        strong_targets=torch.tensor([[[1.0]]]),
        weak_targets=torch.tensor([[1.0]]),
        weights=torch.tensor([1.0, 0.5, 2.0, 3.0, 0.25, 1.5]),
        pseudo_targets=torch.tensor([[[math.nan]], [[0.25]]]),
    )
    pseudo = -0.25 * math.log(0.75) - 0.75 * math.log(0.25)  # of the clip that has a label
    expected = [math.log(2), -math.log(0.8), 1 / 16, 0.02, math.log(2), pseudo]
    assert torch.allclose(parts, torch.tensor(expected))
    assert math.isclose(
        total.item(),
        expected[0] + 0.5 * expected[1] + 2 / 16 + 3 * 0.02 + 0.25 * expected[4] + 1.5 * pseudo,
        rel_tol=1e-6,
    )


def test_only_the_student_gets_gradients_and_unlabelled_clips_none_from_labels():
    torch.manual_seed(0)
    student, teacher = (torch.randn(4, 6, 3, requires_grad=True) for _ in range(2))
    clips = [torch.rand(4, 3, requires_grad=True) for _ in range(2)]
    total, parts = losses.objective(
        student_logits=student,
        student_clip=clips[0],
        teacher_logits=teacher,
        teacher_clip=clips[1],
        strong_targets=torch.rand(1, 6, 3),
        weak_targets=torch.rand(2, 3),
        weights=torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
    )
    assert not parts.requires_grad, "what is logged keeps no graph alive"
    total.backward()
    assert teacher.grad is None and clips[1].grad is None
    assert student.grad[0].abs().sum() > 0 and student.grad[1:].abs().sum() == 0
    assert clips[0].grad[1:3].abs().sum() > 0
    assert clips[0].grad[[0, 3]].abs().sum() == 0


def test_losses_equal_torch_s_and_stay_finite_at_the_ends():
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 5, 2), torch.rand(3, 5, 2)
    reference = torch.nn.functional.binary_cross_entropy(torch.sigmoid(logits.double()), targets.double())
    assert torch.allclose(losses.frame_loss(logits, targets).double(), reference, atol=1e-6)
    posteriors = torch.rand(4, 3)
    reference = torch.nn.functional.binary_cross_entropy(posteriors, targets[0, :4, :1].expand(4, 3))
    assert torch.allclose(losses.clip_loss(posteriors, targets[0, :4, :1].expand(4, 3)), reference, atol=1e-6)
    ends = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss = losses.clip_loss(ends, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(ends.grad).all()
    for posterior in (1e-6, 1 - 1e-6):  # near the ends they are not clamped yet
        found = losses.clip_loss(torch.tensor([[posterior]]), torch.tensor([[0.0]]))
        assert math.isclose(found.item(), -math.log(1 - posterior), rel_tol=0.05)


def test_missing_supervision_is_zero_and_not_nan():
    total, parts = losses.objective(
        student_logits=torch.zeros(2, 3, 1),
        student_clip=torch.full((2, 1), 0.5),
        teacher_logits=torch.zeros(2, 3, 1),
        teacher_clip=torch.full((2, 1), 0.5),
        strong_targets=torch.zeros(0, 3, 1),
        weak_targets=torch.zeros(0, 1),
        weights=torch.ones(6),
    )
    assert total.item() == 0 and parts.tolist() == [0, 0, 0, 0, 0, 0]


def test_a_part_of_weight_0_that_is_infinite_does_not_enter_the_total() -> None:
    total, parts = losses.objective(
        student_logits=torch.full((2, 3, 1), torch.inf),
        student_clip=torch.full((2, 1), 0.5),
        teacher_logits=torch.zeros(2, 3, 1),
        teacher_clip=torch.full((2, 1), 0.5),
        strong_targets=torch.zeros(1, 3, 1),
        weak_targets=torch.zeros(1, 1),
        weights=torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
    )
    assert parts[0].isinf() and math.isclose(total.item(), math.log(2), rel_tol=1e-6)


def test_tags_of_strong_clips_are_those_of_their_events() -> None:
    """A class active in any frame is a tag of the clip, and its clip posterior is trained towards it."""
    torch.manual_seed(0)
    clip = torch.tensor([[0.2, 0.3], [0.9, 0.6]], requires_grad=True)
    targets = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]])
    total, parts = losses.objective(
        student_logits=torch.zeros(2, 3, 2),
        student_clip=clip,
        teacher_logits=torch.zeros(2, 3, 2),
        teacher_clip=clip.detach(),
        strong_targets=targets,
        weak_targets=torch.zeros(1, 2),
        weights=torch.tensor([0.0, 0.0, 0.0, 0.0, 2.0, 0.0]),
    )
    expected = -(math.log(0.2) + math.log(1 - 0.3)) / 2
    assert math.isclose(parts[4].item(), expected, rel_tol=1e-6) and math.isclose(
        total.item(), 2 * expected, rel_tol=1e-6
    )
    total.backward()
    assert clip.grad is not None and clip.grad[0, 0] < 0 < clip.grad[0, 1] and not clip.grad[1].any()


def test_unknown_frames_are_left_out_and_known_ones_keep_their_loss():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 7, 3, requires_grad=True), torch.rand(2, 7, 3).round()
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    assert torch.equal(losses.frame_loss(logits, targets), plain), "to every digit"
    unknown = targets.clone()
    unknown[0, 2:5, 1] = torch.nan
    inside = ~unknown.isnan()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[inside], targets[inside])
    found = losses.frame_loss(logits, unknown)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert logits.grad is not None and logits.grad.isfinite().all() and not logits.grad[0, 2:5, 1].any()
    absent = torch.zeros(1, 7, 2)
    absent[0, 3, 1] = torch.nan
    assert losses.tags_of(absent).tolist() == [[0, 1]], "present, at an unknown time"
    assert torch.equal(losses.tags_of(targets), targets.amax(1))


def test_targets_that_are_all_unknown_have_a_loss_and_gradients_of_0() -> None:
    logits = torch.randn(2, 7, 3, requires_grad=True)
    loss = losses.frame_loss(logits, torch.full((2, 7, 3), torch.nan))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()
