"""What the tests of inference share: small models and pictures, and how the command line refuses bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from air3d.cli.main import main
from air3d.networks.encoder import EncoderConfig
from air3d.scenes.guide import GuideConfig
from air3d.scenes.model import SingleObjectModel
from air3d.store import save_model
from air3d.training.config import TrainConfig
from air3d.training.single import new_model
from renderers.choice import make_renderer
from scene3d.batch import SceneBatch
from scene3d.presets import single_prior
from scene3d.prior import PriorConfig, ScenePrior

SIZE = 32

Refused = Callable[..., str]


class Pictures(NamedTuple):
    """Scenes of the single-object prior and their pictures, (B, 32, 32, 3) uint8."""

    images: NDArray[np.uint8]
    truth: SceneBatch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # The tests are small, and run in as many processes as there are cores.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def prior() -> PriorConfig:
    return single_prior()


@pytest.fixture(scope="session")
def small_guide() -> GuideConfig:
    """Reads 32x32; a few thousand weights."""
    encoder = EncoderConfig(SIZE, (8, 16), 32)
    return GuideConfig(encoder, hidden=32, head=32, yaw_components=8, window=12, glimpse=16)


@pytest.fixture(scope="session")
def pictures(prior: PriorConfig, small_guide: GuideConfig) -> Pictures:
    truth = ScenePrior(prior).sample_batch(np.random.default_rng(5), 48)
    with make_renderer(SingleObjectModel(prior, small_guide, 0.3).render_config, "analytic") as renderer:
        return Pictures(renderer.render(truth), truth)


@pytest.fixture
def model(prior: PriorConfig, small_guide: GuideConfig, pictures: Pictures) -> SingleObjectModel:
    """Untrained, and then shaken, so that no head is at its bias any more."""
    made = new_model(TrainConfig(guide=small_guide), prior, torch.from_numpy(pictures.images))
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in made.guide.parameters():
            noise: Tensor = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.1 * noise)
    made.guide.eval()
    return made


@pytest.fixture
def weights(model: SingleObjectModel, tmp_path: Path) -> Path:
    """A model folder."""
    folder = tmp_path / "weights"
    save_model(folder, model, {"made_by": "a test"})
    return folder


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """refused(*arguments): run, see exit code 2 and one line on stderr, and return that line."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert code == 2, captured
        assert captured.out == ""
        assert captured.err.startswith("air3d: error: ")
        assert captured.err.count("\n") == 1, captured.err
        assert len(captured.err) < 600
        return captured.err

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return path
