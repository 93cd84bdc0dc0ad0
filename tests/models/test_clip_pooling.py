import pytest
import torch

from sed.models.clip_pooling import KINDS, ClipPooling


def test_by_hand():
    y = torch.tensor([[[0.2, 0.0], [0.6, 0.0]]])
    hidden = torch.zeros(1, 2, 3)
    value = {kind: ClipPooling(kind=kind, dim=3, classes=2)(y, hidden)[0, 0].item() for kind in KINDS}
    assert value["linear_softmax"] == pytest.approx((0.04 + 0.36) / 0.8)
    assert value["mean"] == pytest.approx(0.4)
    assert value["max"] == pytest.approx(0.6)
    assert value["attention"] == pytest.approx(0.4)  # no evidence, equal weights


@pytest.mark.parametrize("kind", KINDS)
def test_stays_between_the_frames_and_in_range(kind):
    torch.manual_seed(0)
    y, hidden = torch.rand(3, 50, 4), torch.randn(3, 50, 6)
    clip = ClipPooling(kind=kind, dim=6, classes=4)(y, hidden)
    assert clip.shape == (3, 4)
    assert (clip >= y.amin(1)).all() and (clip <= y.amax(1)).all()
    silent = ClipPooling(kind=kind, dim=6, classes=4)(torch.zeros(1, 50, 4, requires_grad=True), hidden[:1])
    assert torch.equal(silent, torch.full((1, 4), 1e-7))


def test_unknown():
    with pytest.raises(ValueError, match="not known"):
        ClipPooling(kind="median", dim=3, classes=2)
