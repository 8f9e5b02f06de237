"""What the tests of inference share: small models and pictures, and how the command line refuses bad input."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from air3d.cli.main import main
from air3d.datasets.labelled import load_labelled
from air3d.networks.encoder import EncoderConfig
from air3d.renderers.choice import make_renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.presets import single_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.store import save_model
from air3d.training.config import TrainConfig
from air3d.training.scenes import new_model

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
def small_guide() -> OneLookConfig:
    """Reads 32x32; a few thousand weights."""
    encoder = EncoderConfig(SIZE, (8, 16), 32)
    return OneLookConfig(encoder, hidden=32, head=32, yaw_components=8, window=12, glimpse=16)


@pytest.fixture(scope="session")
def pictures(prior: PriorConfig, small_guide: OneLookConfig) -> Pictures:
    truth = ScenePrior(prior).sample_batch(np.random.default_rng(5), 48)
    with make_renderer(SceneModel.of(prior, small_guide, Likelihood()).render_config, "analytic") as renderer:
        return Pictures(renderer.render(truth), truth)


@pytest.fixture
def model(prior: PriorConfig, small_guide: OneLookConfig, pictures: Pictures) -> SceneModel:
    """Untrained, and then shaken, so that no head is at its bias any more."""
    made = new_model(TrainConfig(guide=small_guide), prior, pictures.images)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in made.guide.parameters():
            noise: Tensor = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.1 * noise)
    made.guide.eval()
    return made


@pytest.fixture
def weights(model: SceneModel, tmp_path: Path) -> Path:
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
def no_scene_in_two() -> Callable[[dict[str, list[Path]]], None]:
    """no_scene_in_two(datasets by what they are for): that none of their scenes serves two purposes."""

    def check(datasets: dict[str, list[Path]]) -> None:
        seen: dict[tuple[float, ...], str] = {}
        for purpose, folders in datasets.items():
            assert folders, purpose
            for folder in folders:
                truth = load_labelled(folder).truth
                # No two draws have the same camera where it varies, or the same place where it does not.
                marks = np.column_stack([truth.camera_azimuth_rad, truth.position_m[:, 0]])
                for mark in map(tuple, marks.tolist()):
                    assert seen.setdefault(mark, purpose) == purpose, f"{folder}: a scene of {seen[mark]}"

    return check


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return path


class Page(HTMLParser):
    """Collects what a page refers to, and what would be wrong with it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.problems: list[str] = []
        self.pictures = self.drawings = 0
        self.open: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag == "img":
            self.pictures += 1
            if not (given.get("alt") or "").strip():
                self.problems.append(f"an image without alt at {self.getpos()}")
        if tag == "svg":
            self.drawings += 1
            self.labels.append(given.get("aria-label") or "")
            if given.get("role") != "img" or not self.labels[-1].strip():
                self.problems.append(f"a drawing without a label at {self.getpos()}")
        if tag not in ("img", "meta", "br", "circle", "polygon", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else at {self.getpos()}")


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    """read_page(html): parse it, and see that it is well formed, has alternative texts and needs no other file."""

    def read(text: str) -> Page:
        page = Page()
        page.feed(text)
        page.close()
        assert page.problems == []
        assert page.open == []
        assert page.links
        for link in page.links:
            assert link.startswith("data:image/png;base64,"), link[:60]
            Image.open(BytesIO(base64.b64decode(link.split(",")[1]))).verify()
        style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
        assert "url(" not in style and "@import" not in style
        assert "<script" not in text
        return page

    return read


@pytest.fixture(scope="session")
def bytes_images() -> NDArray[np.uint8]:
    """40 images (40, 12, 12) uint8 of 0 to 2 bright squares."""
    rng = np.random.default_rng(0)
    made = np.zeros((40, 12, 12), dtype=np.uint8)
    for index, image in enumerate(made):
        for _ in range(index % 3):
            x, y = rng.integers(0, 9, size=2)
            image[y : y + 3, x : x + 3] = rng.integers(150, 256, size=(3, 3))
    return made
