"""Disturbed dreams: what must hold of them whatever is drawn."""

import pytest
import torch

from air3d.scene3d.errors import InputError
from air3d.scenes.disturb import Disturbance, disturbed
from tests.conftest import Fits


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_share_is_disturbed_and_the_others_stay_as_they_are(fits: Fits) -> None:
    from scipy import stats

    pictures = torch.rand(400, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    changed = disturbed(pictures, Disturbance(share=0.3), generator())
    same = (changed == pictures).flatten(1).all(1)
    assert changed.shape == pictures.shape and changed.min() >= 0.0 and changed.max() <= 1.0
    fits(float(stats.binomtest(int((~same).sum()), 400, 0.3).pvalue), "share of disturbed pictures")
    assert torch.equal(disturbed(pictures, Disturbance(), generator()), pictures)


def test_without_strength_nothing_changes() -> None:
    pictures = 0.01 + 0.98 * torch.rand(5, 3, 24, 24, generator=generator())
    still = Disturbance(share=1.0, shade=0.0, pattern=0.0, tone=0.0, glare=0.0, noise=0.0)
    torch.testing.assert_close(disturbed(pictures, still, generator()), pictures)


@pytest.mark.parametrize("only", ["shade", "pattern", "tone", "noise"])
def test_each_strength_is_of_the_size_that_it_says(only: str) -> None:
    """log brightness moves by at most a few times the strength, and by a good part of it in some picture."""
    strengths = dict.fromkeys(("shade", "pattern", "tone", "glare", "noise"), 0.0) | {only: 0.1}
    pictures = torch.full((60, 3, 32, 32), 0.5)
    changed = disturbed(pictures, Disturbance(share=1.0, **strengths), generator())
    moved = (changed - 0.5) if only == "noise" else (changed.clamp_min(1e-3) / 0.5).log()
    spread = moved.square().mean((1, 2, 3)).sqrt()
    assert 0.02 < spread.max() < 0.3
    assert spread.min() < 0.5 * spread.max()  # every picture has a strength of its own


def test_bright_and_dark_keep_their_order_where_only_tones_change() -> None:
    """What is seen stays where it is: a curve and a gain are monotone in every channel."""
    ramp = torch.linspace(0.1, 0.8, 32).expand(20, 3, 32, 32)
    changed = disturbed(
        ramp, Disturbance(share=1.0, shade=0.0, pattern=0.0, tone=0.3, glare=0.0, noise=0.0), generator()
    )
    assert (changed.diff(dim=-1) >= 0.0).all()


def test_repeats_with_its_generator_and_refuses_other_strengths() -> None:
    pictures = torch.rand(6, 3, 16, 16, generator=generator())
    config = Disturbance(share=0.5)
    assert torch.equal(disturbed(pictures, config, generator()), disturbed(pictures, config, generator()))
    with pytest.raises(InputError, match="pattern is 2"):
        Disturbance(pattern=2.0)


def test_glare_lights_a_black_background_smoothly() -> None:
    black = torch.zeros(40, 3, 32, 32)
    only = Disturbance(share=1.0, shade=0.0, pattern=0.0, tone=0.0, glare=0.2, noise=0.0)
    changed = disturbed(black, only, generator())
    assert 0.03 < changed.amax() <= 0.2 + 1e-3
    assert changed.diff(dim=-1).abs().amax() < 0.05
