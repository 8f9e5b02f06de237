"""Small tabletop models, priors and renderers for the tests of this track."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.step_guide import StepGuideConfig

SIZE = 32

MakeModel = Callable[..., SceneModel]


def tiny_guide(size: int = SIZE, **changes: Any) -> StepGuideConfig:
    """A guide of a few thousand weights."""
    values: dict[str, Any] = {
        "image_size": size, "camera_widths": (4, 6, 8), "camera_code": 16, "widths": (6, 8, 10), "head": 12,
        "window": 10, "glimpse": 8, "azimuth_components": 5, "yaw_components": 4, "feedback": "marks",
    }  # fmt: skip
    return StepGuideConfig(**values | changes)


@pytest.fixture(scope="session")
def make_guide() -> Callable[..., StepGuideConfig]:
    return tiny_guide


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """make_model(prior, shake=0.1, ...): a model whose untrained weights are shaken, so that no head is at its bias."""

    def make(prior: PriorConfig, shake: float = 0.1, seed: int = 0, sigma: float = 0.3, **changes: Any) -> SceneModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = SceneModel.of(prior, tiny_guide(**changes), Likelihood(sigma))
            with torch.no_grad():
                for parameter in model.guide.parameters():
                    parameter.add_(shake * torch.randn(parameter.shape))
        model.guide.eval()
        return model

    return make


@pytest.fixture(scope="session")
def two() -> PriorConfig:
    """Up to two of mug and bowl: one kind with a yaw, one without; the probability of no overlap is cheap."""
    return tabletop_prior(("mug", "bowl"), max_objects=2)


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """(4, 3, 32, 32) smooth noise: pictures of nothing."""
    noise = torch.rand((4, 3, 8, 8), generator=torch.Generator().manual_seed(4))
    return torch.nn.functional.interpolate(noise, size=(SIZE, SIZE), mode="bilinear")


@pytest.fixture
def analytic(two: PriorConfig, make_model: MakeModel) -> Iterator[Renderer]:
    """Draws scenes of `two` at 32x32."""
    with make_renderer(make_model(two).render_config, "analytic") as renderer:
        yield renderer


class FakeRenderer:
    """Pictures (B, size, size, 3) by a function of scenes, to float values in [0, 1]; counts what it draws."""

    name = "fake"

    def __init__(self, picture: Callable[[SceneBatch], NDArray[np.float64]]) -> None:
        self.picture, self.scenes = picture, 0

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        self.scenes += len(scenes)
        return np.rint(255.0 * self.picture(scenes)).astype(np.uint8)


@pytest.fixture(scope="session")
def fake_renderer() -> type[FakeRenderer]:
    return FakeRenderer
