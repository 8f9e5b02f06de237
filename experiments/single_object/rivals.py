"""Runs the paper's single-object experiment (Figure 6, left): AIR, a supervised network and direct optimisation.

Everything is measured on one test set that nothing was tuned on. Finished parts are kept in `work` as JSON; repeating
the command goes on with what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.labelled import Labelled
from air3d.datasets.pictures import enlarge, write_picture
from air3d.evaluation.evaluate import answer_metrics
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.presets import single_prior
from air3d.scene3d.scene_json import scene_from_dict, scene_to_dict
from air3d.scenes.latents import World
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import single_world
from air3d.scenes.search import SearchConfig, search
from air3d.scenes.single_refine import RefineConfig, refine
from air3d.scenes.store import load_model
from air3d.scenes.supervised import SupervisedConfig
from air3d.training.config import TrainConfig
from air3d.training.supervised import train_supervised
from experiments.data import labelled
from experiments.kept import Result, fingerprint, once
from experiments.single_object.estimators import Study, summary
from experiments.single_object.plan import TEST_SEED, TRAIN_SEED, VALIDATION_SEED, Plan

Say = Callable[[str], None]

EXAMPLES = "examples.png"
SHIPPED = "single-object"
_SHOWN = 10


def run_experiment(
    work: Path, plan: Plan, make_renderer: Callable[[RenderConfig], Renderer], facts: Mapping[str, str], say: Say
) -> dict[str, Any]:
    """Run what is missing; return all results as JSON values: `estimators` and `rivals`, a list of runs each.

    Args:
        facts: the command, commit and machine, which are kept with every result.

    Raises:
        InputError: if a result in `work` was made with other settings.
    """
    prior = single_prior()
    sets = {
        name: labelled(work / f"{name}-{num}", "single", prior, num, seed)
        for name, num, seed in (
            ("train", plan.train, TRAIN_SEED),
            ("validation", plan.validation, VALIDATION_SEED),
            ("test", plan.test, TEST_SEED),
        )
    }
    base = TrainConfig(iterations=plan.iterations)
    folder = work / f"estimators-{plan.iterations}"
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(folder, sets["train"], sets["validation"], sets["test"], base, facts)
    world = single_world(prior)
    renderer = make_renderer(render_config(sets["test"]))
    try:
        estimators = [study.run(name, seed, renderer, say) for name, seed in plan.jobs()]
        rivals = _Rivals(
            work / f"rivals-{plan.iterations}", plan, sets["train"], sets["test"], world, renderer, facts, say
        )
        results = {"estimators": estimators, "rivals": rivals.run(folder)}
        model = load_model(str(folder / "runs" / f"{plan.estimators[0]}-seed{plan.seeds[0]}")).model
        write_picture(work / EXAMPLES, rivals.examples(results["rivals"], model))
        return results
    finally:
        renderer.close()


def render_config(data: Labelled) -> RenderConfig:
    """The configuration of a renderer for these scenes."""
    return RenderConfig(data.prior.kinds, data.prior.table, 1, data.images.shape[1], data.images.shape[2])


@dataclass(frozen=True)
class _Rivals:
    folder: Path
    plan: Plan
    train: Labelled
    test: Labelled
    world: World
    renderer: Renderer
    facts: Mapping[str, str]
    say: Say

    def run(self, trained: Path) -> list[dict[str, Any]]:
        """Run every rival with every seed, and refine AIR's answers; `trained` holds AIR's runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        plan = self.plan
        rows = [self._shipped()]
        for seed in plan.seeds:
            rows += [self._supervised(method, seed) for method in ("regression", "density")]
            for name in plan.refined:
                model = trained / "runs" / f"{name}-seed{seed}" / "model"
                rows += [self._refined(name, model, budget, seed) for budget in plan.refine_renders]
            for method in ("fd", "cma"):
                rows += [self._search(method, budget, seed) for budget in plan.search_renders]
        return rows

    def _once(self, name: str, seed: int, settings: dict[str, Any], make: Callable[[], Result]) -> Result:
        path = self.folder / f"{name}-seed{seed}.json"

        def measure() -> Result:
            test = make()
            self.say(f"{path.stem}: {summary(test)}")
            return {"name": name, "seed": seed, "test": test}

        return once(path, {**settings, "test": fingerprint(self.test.images)}, self.facts, measure)

    def _shipped(self) -> Result:
        model = load_model(SHIPPED).model
        measure = partial(self._amortised, lambda images: model.infer(images).scenes)
        return self._once(f"air-shipped-{SHIPPED}", 0, _weights(model), measure)

    def _amortised(self, infer: Callable[[NDArray[np.uint8]], SceneBatch]) -> dict[str, Any]:
        """Measure a network that answers all test images without rendering."""
        infer(self.test.images[:1])
        begin = time.perf_counter()
        answer = infer(self.test.images)
        return self._measure(len(self.test.images), answer, (time.perf_counter() - begin) / len(self.test.images), 0)

    def _supervised(self, method: Any, seed: int) -> Result:
        config = SupervisedConfig(method=method, iterations=self.plan.iterations, batch=32, seed=seed)

        def make() -> Result:
            begin = time.perf_counter()
            model = train_supervised(self.train.images, self.train.truth, self.train.prior, config)
            trained = time.perf_counter() - begin
            return {**self._amortised(model.infer), "seconds_of_training": trained}

        settings = {"train": config_to_dict(config), "images": fingerprint(self.train.images)}
        return self._once(f"supervised-{method}", seed, settings, make)

    def _refined(self, name: str, folder: Path, budget: int, seed: int) -> Result:
        images = self.test.images[: self.plan.searched]
        model = load_model(str(folder)).model
        config = RefineConfig(renders=budget, seed=seed)

        def make() -> Result:
            begin = time.perf_counter()
            start = model.infer(images).scenes
            amortised = (time.perf_counter() - begin) / len(images)
            found = refine(images, start, self.world, self.renderer, config)
            seconds = amortised + found.seconds_per_image
            return self._measure(len(images), found.scenes, seconds, found.renders_per_image)

        settings = {**_weights(model), "refine": config_to_dict(config), "images": len(images)}
        return self._once(f"air-{name}-refine-{budget}", seed, settings, make)

    def _search(self, method: Any, budget: int, seed: int) -> Result:
        images = self.test.images[: self.plan.searched]
        config = SearchConfig(method=method, renders=budget, seed=seed)

        def make() -> Result:
            found = search(images, self.world, self.renderer, config)
            return self._measure(len(images), found.scenes, found.seconds_per_image, found.renders_per_image)

        settings = {"search": config_to_dict(config), "images": len(images)}
        return self._once(f"search-{method}-{budget}", seed, settings, make)

    def _measure(self, count: int, answer: SceneBatch, seconds: float, renders: int) -> dict[str, Any]:
        images, truth = self.test.images[:count], self.test.truth[:count]
        drawn: NDArray[np.uint8] = self.renderer.render(answer)
        metrics = answer_metrics(images, truth, answer, drawn)
        shown = [scene_to_dict(scene) for scene in answer[:_SHOWN].to_scenes()]
        return {**metrics, "seconds_per_image": seconds, "renders_per_image": renders, "examples": shown}

    def examples(self, rows: list[dict[str, Any]], model: SceneModel[Any]) -> NDArray[np.uint8]:
        """Draw the first test images, AIR's answers (first estimator, first seed), then every rival's with that seed.

        Returns:
            (rows * side, images * side, 3) uint8; the rows in the order of `example_names`.
        """
        images = self.test.images[:_SHOWN]
        first = [row for row in rows if row["seed"] == self.plan.seeds[0]]
        pictures = [images, self.renderer.render(model.infer(images).scenes)]
        for row in first:
            scenes = [scene_from_dict(data) for data in row["test"]["examples"]]
            pictures.append(self.renderer.render(SceneBatch.from_scenes(scenes, self.test.prior.kinds, 1)))
        width = min(len(row) for row in pictures)
        return enlarge(np.concatenate([np.concatenate(list(row[:width]), axis=1) for row in pictures]), 2)


def _weights(model: SceneModel[Any]) -> dict[str, str]:
    return {"weights": fingerprint(*(tensor.numpy() for tensor in model.guide.state_dict().values()))}


def example_names(results: dict[str, Any]) -> list[str]:
    """The names of the rows of the examples."""
    seed, name = results["estimators"][0]["seed"], results["estimators"][0]["estimator"]["name"]
    return ["input", f"AIR, {name}", *(row["name"] for row in results["rivals"] if row["seed"] == seed)]
