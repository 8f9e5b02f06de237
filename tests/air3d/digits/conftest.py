"""Small models and made-up images of the 2D track."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from air3d.digits import train
from air3d.digits.air import Air
from air3d.digits.dair import Dair
from air3d.digits.latents import AirConfig
from air3d.digits.step_graph import Gradients
from air3d.digits.store import make_model
from air3d.distributions.z_pres import CountPrior


@pytest.fixture(scope="session")
def small() -> AirConfig:
    """Reads 12x12, at most 3 objects."""
    count = CountPrior(success=0.4)
    return AirConfig(12, window=5, hidden=16, head=12, what=4, codec=10, scale=0.4, sigma=0.5, count=count)


def shaken(model: torch.nn.Module, scale: float = 0.3) -> torch.nn.Module:
    """With noise on all weights, so that no output is at its bias."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model


def listed_gradients(monkeypatch: pytest.MonkeyPatch) -> list[Gradients]:
    """Those that trainings make from now on."""
    made: list[Gradients] = []

    class Listed(Gradients):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(train, "Gradients", Listed)
    return made


@pytest.fixture
def air(small: AirConfig) -> Air:
    model = shaken(make_model("air", small, seed=0))
    assert isinstance(model, Air)
    return model


@pytest.fixture
def dair(small: AirConfig) -> Dair:
    model = shaken(make_model("dair", small, seed=0))
    assert isinstance(model, Dair)
    return model


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """Seven images (7, 12, 12) in [0, 1]."""
    return torch.rand(7, 12, 12, generator=torch.Generator().manual_seed(2))
