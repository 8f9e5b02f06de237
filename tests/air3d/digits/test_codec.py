"""The convolutions before glimpses and looks: the sizes they leave, and that they see every pixel."""

from __future__ import annotations

import pytest
import torch

from air3d.digits.codec import GlimpseEncoder, halved, halving_convolutions
from tests.air3d.digits.conftest import shaken


@pytest.mark.parametrize("side", [2, 5, 12, 28, 50])
@pytest.mark.parametrize("channels", [(), (3,), (3, 2), (3, 2, 4)])
def test_convolutions_halve_pictures_of_any_side(side, channels):
    seen = halving_convolutions(channels)(torch.rand(6, 1, side, side))
    assert seen.shape == (6, channels[-1] if channels else 1, *2 * (halved(side, len(channels)),))


def test_a_convolutional_encoder_reads_each_glimpse_by_itself_and_all_of_it():
    torch.manual_seed(0)
    encoder = shaken(GlimpseEncoder(12, 8, 3, channels=(4, 5)))
    glimpses = torch.rand(20, 3, 12, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    together = encoder(glimpses).loc
    assert together.shape == (20, 3, 3)
    for b, i in ((0, 0), (1, 2)):
        assert torch.allclose(together[b, i], encoder(glimpses[b, i][None]).loc[0], atol=1e-5)
    (slopes,) = torch.autograd.grad(together.sum(), glimpses)
    assert (slopes.abs().amax((0, 1)) > 0.0).all(), "no pixel is overlooked, not even a corner's"
