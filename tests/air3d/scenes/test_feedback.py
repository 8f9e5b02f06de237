"""What every feedback must do, and what each shows. A new one is a name in `FeedbackName`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.feedback import FeedbackName, Marks, make_feedback
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import Painter

MakeModel = Callable[..., SceneModel]

CAMERAS = Viewpoint(torch.tensor([0.7, -2.9]), torch.tensor([[0.3, 0.8], [0.9, 0.1]]))
MUG_AND_BOWL = Objects.upright(
    torch.tensor([[0, 1], [1, ABSENT]]), torch.tensor([[[0.1, 0.05], [-0.12, 0.03]], [[0.0, 0.1], [0.0, 0.0]]]),
    torch.zeros(2, 2), torch.zeros(2, 2, 0),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A guide of one feedback, and a painter that counts."""

    name: FeedbackName
    model: SceneModel
    painter: Painter
    counting: Any


@pytest.fixture(params=get_args(FeedbackName))
def case(
    request: pytest.FixtureRequest, two: PriorConfig, make_model: MakeModel, analytic: Renderer, fake_renderer: Any
) -> Case:
    model = make_model(two, feedback=request.param)
    counting = fake_renderer(lambda scenes: analytic.render(scenes) / 255.0)
    return Case(request.param, model, model.painter(counting), counting)


def test_what_is_shown_has_the_channels_that_are_told(case: Case, images: Tensor) -> None:
    feedback = make_feedback(case.name, case.model.world, ImageSize(32, 32))
    shown = feedback.show(images[:2], case.painter, SceneLatents(CAMERAS, MUG_AND_BOWL))
    assert shown.channels.shape == (2, feedback.channels, 32, 32)
    step = case.model.guide.step(images[:2], case.painter, SceneLatents(CAMERAS, MUG_AND_BOWL))
    assert torch.equal(step.pictures[:, 3:], shown.channels)
    assert torch.equal(step.pictures[:, :3], images[:2]), "the mean image is 0 here"


def test_every_object_is_told_from_its_absence_and_order_means_nothing(case: Case, images: Tensor) -> None:
    def shown(objects: Objects) -> Tensor:
        return case.model.guide.feedback.show(images[:2], case.painter, SceneLatents(CAMERAS, objects)).channels

    whole = shown(MUG_AND_BOWL)
    turned = Objects(*(part.flip(1) for part in MUG_AND_BOWL))
    assert torch.allclose(shown(turned), whole, atol=1e-6)
    for b, slot in ((0, 0), (0, 1), (1, 0)):
        kind = MUG_AND_BOWL.kind.clone()
        kind[b, slot] = ABSENT
        without = shown(MUG_AND_BOWL._replace(kind=kind))
        assert (without[b] - whole[b]).abs().max() > 0.1
        assert torch.equal(without[1 - b], whole[1 - b]), "images do not mix"


def test_a_picture_that_is_there_is_not_drawn_again(case: Case, images: Tensor) -> None:
    scene = SceneLatents(CAMERAS, MUG_AND_BOWL)
    picture = case.painter.draw(scene)
    before = case.counting.scenes
    given = case.model.guide.feedback.show(images[:2], case.painter, scene, picture)
    assert case.counting.scenes == before
    own = case.model.guide.feedback.show(images[:2], case.painter, scene)
    assert torch.equal(given.channels, own.channels)
    assert (own.drawn is None) == (given.drawn is None) == (case.counting.scenes == before)
    if own.drawn is not None:
        assert torch.equal(own.drawn, picture) and given.drawn is picture


def test_an_answer_costs_no_more_renders_than_are_told(case: Case, images: Tensor) -> None:
    """As many, where every slot is filled."""
    with torch.no_grad():
        case.model.guide.presence_head[-1].weight.zero_()
        case.model.guide.presence_head[-1].bias.fill_(8.0)
    case.model.guide.look(images[:1], case.painter).mode()
    assert case.counting.scenes == case.model.guide.feedback.most_renders(2)


def test_cameras_are_looked_for_and_only_then_is_a_second_network_made(case: Case, images: Tensor) -> None:
    guide = case.model.guide
    found = guide.cameras(images, case.painter)
    assert len(found) == 1 + guide.feedback.second_look
    assert any(name.startswith("second_") for name in guide.state_dict()) == guide.feedback.second_look
    for posterior in found:
        assert posterior.mode().azimuth_rad.shape == (4,)


def test_difference_is_the_image_minus_the_picture(two: PriorConfig, make_model: MakeModel, images: Tensor) -> None:
    model = make_model(two, feedback="difference")
    picture = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    scene = SceneLatents(CAMERAS, MUG_AND_BOWL)
    shown = model.guide.feedback.show(images[:2], None, scene, picture)  # type: ignore[arg-type]
    assert shown.channels.numpy() == pytest.approx(images[:2].numpy() - picture.numpy(), abs=1e-7)


def test_marks_are_dots_where_the_objects_are_seen(two: PriorConfig, make_model: MakeModel, images: Tensor) -> None:
    """By the camera's own geometry; a channel for each kind."""
    feedback, objects = Marks(make_model(two).world, ImageSize(32, 32)), Objects(*(part[:1] for part in MUG_AND_BOWL))

    def marks(objects: Objects) -> Tensor:
        scene = SceneLatents(Viewpoint(*(part[:1] for part in CAMERAS)), objects)
        return feedback.show(images[:1], None, scene).channels  # type: ignore[arg-type]

    camera = Orbit(
        0.7, math.radians(25.0) + 0.3 * math.radians(40.0), 0.97 + 0.8 * 0.08, (0.0, 0.0, 0.0), math.radians(40.0)
    )
    found = marks(objects)
    for slot in range(2):
        x, y = objects.place_m[0, slot].tolist()
        (pixel,), _ = camera.sized(32, 32).project([[x, y, (0.100 + 0.065) / 4.0]])
        rows, columns = np.mgrid[:32, :32]
        expected = np.exp(-0.5 * ((columns - pixel[0]) ** 2 + (rows - pixel[1]) ** 2) / 2.5**2)
        assert found[0, slot].numpy() == pytest.approx(expected, abs=1e-3)
    assert marks(objects._replace(kind=torch.full((1, 2), ABSENT))).abs().max() == 0.0
