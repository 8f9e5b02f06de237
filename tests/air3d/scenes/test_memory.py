"""The memory of the wake phase: what is kept, what is looked at again, and that no label has a part in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.memory import SceneMemory, shuffled, visit
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import drawn, to_pixels
from air3d.scenes.refine import RefineConfig
from air3d.scenes.store import load_model
from air3d.scenes.wake_config import WakeConfig
from air3d.training import scenes as training
from air3d.training.config import TabletopTrainConfig
from air3d.training.processes import Processes
from air3d.training.shares import Shares


class Known(NamedTuple):
    model: SceneModel[Any]
    renderer: Renderer
    truth: SceneBatch
    images: NDArray[np.uint8]


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    model = load_model("tabletop").model
    with make_renderer(model.render_config, "raster") as renderer:
        truth = ScenePrior(model.prior).sample_batch(np.random.default_rng(8), 24)
        yield Known(model, renderer, truth, renderer.render(truth))


def test_what_is_remembered_is_recalled_and_only_better_scenes_replace_it(known: Known) -> None:
    latents = known.model.world.from_batch(known.truth)
    memory = SceneMemory(known.model.world, 30)
    assert not memory.known(torch.arange(30)).any()
    rows = torch.arange(24) + 3
    memory.keep(rows, latents, torch.full((24,), 2.0))
    assert memory.known(torch.arange(30)).tolist() == [3 <= i < 27 for i in range(30)]
    for a, b in zip(memory.recall(rows).objects, latents.objects, strict=True):
        assert torch.equal(a, b.to(a))
    for a, b in zip(memory.recall(rows).viewpoint, latents.viewpoint, strict=True):
        assert torch.equal(a, b.to(a))
    turned = latents._replace(viewpoint=latents.viewpoint._replace(azimuth_rad=latents.viewpoint.azimuth_rad + 1.0))
    memory.keep(rows, turned, torch.where(torch.arange(24) < 5, 1.0, 2.5))
    moved = memory.recall(rows).viewpoint.azimuth_rad - latents.viewpoint.azimuth_rad
    assert moved.numpy() == pytest.approx(1.0 * (np.arange(24) < 5), abs=1e-5)
    assert memory.error[rows].tolist() == [1.0] * 5 + [2.0] * 19


def test_a_visit_finds_the_scenes_and_a_second_makes_none_worse(known: Known) -> None:
    model, renderer, truth, images = known
    memory, rows = SceneMemory(model.world, 24), torch.arange(24)
    renders = visit(memory, model, renderer, images, rows, RefineConfig(40))
    assert 24 * 3 < renders <= 24 * (model.guide.renders + 2 + 40)
    error = memory.error.clone()
    found = model.world.to_batch(memory.recall(rows))
    told = model.likelihood.error(to_pixels(images), drawn(renderer, found)[:, None])[:, 0]
    assert told.numpy() == pytest.approx(error.numpy(), rel=1e-3, abs=1e-3)
    assert (found.present.sum(1) == truth.present.sum(1)).mean() > 0.9 and error.median() < 1.0
    visit(memory, model, renderer, images, rows, RefineConfig(40, seed=1))
    assert (memory.error <= error).all() and (memory.error < error).any()


def test_a_visit_begins_with_the_better_of_what_is_remembered_and_what_the_guide_says(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, renderer, truth, images = known
    memory, rows = SceneMemory(model.world, 24), torch.arange(24)
    exact = model.world.from_batch(truth)
    memory.keep(rows[:10], first_of(exact, 10), torch.zeros(10))
    begun: list[SceneBatch] = []

    def nothing(model: Any, renderer: Any, images: Any, scenes: SceneBatch, config: Any) -> tuple[SceneBatch, int]:
        begun.append(scenes)
        return scenes, 0

    monkeypatch.setattr("air3d.scenes.memory.polish", nothing)
    visit(memory, model, renderer, images, rows, RefineConfig(40))
    answers = model.infer(images, renderer).scenes
    assert begun[0].position_m[:10] == pytest.approx(truth.position_m[:10], abs=1e-6)
    assert begun[0].position_m[10:] == pytest.approx(answers.position_m[10:], abs=1e-6)


def first_of(latents: Any, count: int) -> Any:
    viewpoint, objects = latents
    return type(latents)(
        type(viewpoint)(*(part[:count] for part in viewpoint)), type(objects)(*(part[:count] for part in objects))
    )


def test_objects_are_shuffled_and_stay_what_they_are(known: Known) -> None:
    latents = known.model.world.from_batch(known.truth)
    mixed = shuffled(latents, torch.Generator().manual_seed(0)).objects
    before = latents.objects
    here = mixed.kind != ABSENT
    assert torch.equal(here, before.kind != ABSENT), "empty slots last"
    moved = 0
    for b in range(24):
        n = int(here[b].sum())
        one, other = (
            sorted((int(part.kind[b, i]), *part.position_m[b, i].tolist()) for i in range(n))
            for part in (before, mixed)
        )
        assert one == other
        moved += n > 1 and not torch.equal(before.position_m[b, :n], mixed.position_m[b, :n])
    assert moved >= 3


def test_the_late_wake_phase_remembers_all_images_better_and_better(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, renderer, _, images = known
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    wake = WakeConfig(cold=1e-6, remembered=24, visits=8)  # one cold step
    config = TabletopTrainConfig(30, 8, 1e-4, phase="wake", warm_up=2, wake=wake, seed=1, guide=model.guide.config)
    again = training.new_model(config, model.prior)
    training.take_over(again, model)
    records: list[dict[str, Any]] = []
    training.train(again, images, renderer, config, None, {}, records.append)
    remembered = [record["remembered"] for record in records[1:]]
    assert remembered[0] == pytest.approx(8 / 24) and remembered[-1] == 1.0 and (np.diff(remembered) >= 0.0).all()
    whole = [record["squared_error"] for record in records[1:] if record["remembered"] == 1.0]
    assert len(whole) > 10 and (np.diff(whole) <= 1e-6).all() and whole[-1] < 0.7 * whole[0]
    assert "camera" in records[0] and "late_where" in records[1] and "late_where" not in records[0]


def test_processes_give_each_other_what_they_remember(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four shares, the second of two processes has the last two; a sum over processes stands in for the first."""
    latents = known.model.world.from_batch(known.truth)
    other, own = SceneMemory(known.model.world, 24), SceneMemory(known.model.world, 24)
    first, last = torch.arange(24)[torch.arange(24) % 4 < 2], torch.arange(24)[torch.arange(24) % 4 >= 2]
    for memory, rows in ((other, first), (own, last)):
        part = type(latents)(*(type(one)(*(field[rows] for field in one)) for one in latents))
        memory.keep(rows, part, torch.full((len(rows),), 3.0))
    kept = iter([other.error, other.numbers])

    def add(self: Processes, tensor: torch.Tensor) -> None:
        theirs = next(kept)
        mine = torch.arange(24) % 4 < 2
        tensor += torch.where(mine.reshape(-1, *[1] * (theirs.dim() - 1)), theirs, 0.0)

    monkeypatch.setattr(Processes, "sum", add)
    training._share_out(own, Shares(4, 0, torch.Generator(), Processes(1, 2)))
    assert own.error.tolist() == [3.0] * 24
    assert own.recall(torch.arange(24)).objects.position_m.numpy() == pytest.approx(
        latents.objects.position_m.float().numpy()
    )
