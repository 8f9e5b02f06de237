"""Measures AIR beside supervised networks and direct optimisation on the same test scenes (Figure 6, left)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.pictures import encode_picture, enlarge
from air3d.evaluation.evaluate import answer_metrics
from air3d.networks.folder import RUN_MODEL
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.scene_json import scene_from_dict, scene_to_dict
from air3d.scenes.direct_optimisation import SearchConfig, search
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import single_world
from air3d.scenes.refine import RefineConfig, refine
from air3d.scenes.store import load_model
from air3d.scenes.supervised import SupervisedConfig
from air3d.training.supervised import train_supervised
from experiments.kept import Kept, Result, fingerprint
from experiments.page import Results, Section
from experiments.single_object import columns as c
from experiments.single_object import estimators
from experiments.single_object.estimators import by_estimator, run_name, summary
from experiments.single_object.workbench import Workbench
from experiments.tables import Run, grouped, run_table, spread_table

PART = "rivals"
TITLE = "AIR and its rivals on the same test scenes"
EXAMPLES = "examples"
SHIPPED = "single-object"
_SHOWN = 10


def run(bench: Workbench) -> None:
    """Run every rival with every seed, refine AIR's answers, and draw the first answers of all."""
    with bench.renderer() as renderer:
        measure = _Measure(bench, renderer)
        rows = [measure.shipped()]
        for seed in bench.plan.seeds:
            rows += [measure.supervised(method, seed) for method in ("regression", "density")]
            for name in bench.plan.refined:
                rows += [measure.refined(name, budget, seed) for budget in bench.plan.refine_renders]
            for method in ("fd", "cma"):
                rows += [measure.searched(method, budget, seed) for budget in bench.plan.search_renders]
        bench.kept.keep(PART, EXAMPLES, encode_picture(measure.examples(rows)))


class _Measure:
    """Measures rivals with one renderer, each once."""

    def __init__(self, bench: Workbench, renderer: Renderer) -> None:
        self._bench, self._renderer, self._test = bench, renderer, bench.test
        self._world = single_world(bench.test.prior)

    def shipped(self) -> Result:
        """The shipped weights."""
        model = load_model(SHIPPED).model
        return self._once(
            f"air-shipped-{SHIPPED}",
            0,
            _weights(model),
            lambda: self._amortised(lambda images: model.infer(images).scenes),
        )

    def supervised(self, method: Any, seed: int) -> Result:
        """A network that learns from labels."""
        bench = self._bench
        config = SupervisedConfig(method=method, iterations=bench.plan.iterations, batch=32, seed=seed)

        def make() -> Result:
            begin = time.perf_counter()
            model = train_supervised(bench.train.images, bench.train.truth, bench.train.prior, config)
            trained = time.perf_counter() - begin
            return {**self._amortised(model.infer), "seconds_of_training": trained}

        settings = {"train": config_to_dict(config), "images": fingerprint(bench.train.images)}
        return self._once(f"supervised-{method}", seed, settings, make)

    def refined(self, name: Any, budget: int, seed: int) -> Result:
        """AIR's answers, refined."""
        images = self._test.images[: self._bench.plan.searched]
        model, config = self._trained(name, seed), RefineConfig(renders=budget, seed=seed)

        def make() -> Result:
            begin = time.perf_counter()
            start = model.infer(images).scenes
            amortised = (time.perf_counter() - begin) / len(images)
            found = refine(images, start, self._world, self._renderer, config)
            seconds = amortised + found.seconds_per_image
            return self._measured(len(images), found.scenes, seconds, found.renders_per_image)

        settings = {**_weights(model), "refine": config_to_dict(config), "images": len(images)}
        return self._once(f"air-{name}-refine-{budget}", seed, settings, make)

    def searched(self, method: Any, budget: int, seed: int) -> Result:
        """Direct optimisation, without any network."""
        images = self._test.images[: self._bench.plan.searched]
        config = SearchConfig(method=method, renders=budget, seed=seed)

        def make() -> Result:
            found = search(images, self._world, self._renderer, config)
            return self._measured(len(images), found.scenes, found.seconds_per_image, found.renders_per_image)

        settings = {"search": config_to_dict(config), "images": len(images)}
        return self._once(f"search-{method}-{budget}", seed, settings, make)

    def examples(self, rows: list[Result]) -> NDArray[np.uint8]:
        """Draw the first test images, AIR's answers (first estimator, first seed), then every rival's with that seed.

        Returns:
            (rows * side, images * side, 3) uint8; the rows in the order of `rows`.
        """
        plan, images = self._bench.plan, self._test.images[:_SHOWN]
        model = self._trained(plan.estimators[0], plan.seeds[0])
        pictures = [images, self._renderer.render(model.infer(images).scenes)]
        for row in rows:
            if row["seed"] == plan.seeds[0]:
                scenes = [scene_from_dict(data) for data in row["test"]["examples"]]
                pictures.append(self._renderer.render(SceneBatch.from_scenes(scenes, self._test.prior.kinds, 1)))
        width = min(len(row) for row in pictures)
        return enlarge(np.concatenate([np.concatenate(list(row[:width]), axis=1) for row in pictures]), 2)

    def _trained(self, name: Any, seed: int) -> SceneModel[Any]:
        folder = self._bench.kept.run(estimators.PART, run_name(name, seed))
        return load_model(str(folder / RUN_MODEL)).model

    def _once(self, method: str, seed: int, settings: dict[str, Any], make: Callable[[], Result]) -> Result:
        name, kept = f"{method}-seed{seed}", self._bench.kept

        def measure() -> Result:
            test = make()
            kept.say(f"{name}: {summary(test)}")
            return {"method": method, "seed": seed, "test": test}

        return kept.once(PART, name, {**settings, "test": fingerprint(self._test.images)}, measure)

    def _amortised(self, infer: Callable[[NDArray[np.uint8]], SceneBatch]) -> dict[str, Any]:
        """Measure a network that answers all test images without rendering."""
        infer(self._test.images[:1])
        begin = time.perf_counter()
        answer = infer(self._test.images)
        return self._measured(len(self._test.images), answer, (time.perf_counter() - begin) / len(self._test.images), 0)

    def _measured(self, count: int, answer: SceneBatch, seconds: float, renders: int) -> dict[str, Any]:
        images, truth = self._test.images[:count], self._test.truth[:count]
        drawn: NDArray[np.uint8] = self._renderer.render(answer)
        metrics = answer_metrics(images, truth, answer, drawn)
        shown = [scene_to_dict(scene) for scene in answer[:_SHOWN].to_scenes()]
        return {**metrics, "seconds_per_image": seconds, "renders_per_image": renders, "examples": shown}


def _weights(model: SceneModel[Any]) -> dict[str, str]:
    return {"weights": fingerprint(*(tensor.numpy() for tensor in model.guide.state_dict().values()))}


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, groups = Section(), dict[tuple[str, ...], list[Run]]()
    groups |= {(f"AIR, {name}",): runs for (name,), runs in by_estimator(results.get(estimators.PART, [])).items()}
    groups |= by_method(results[PART])
    page.text(
        "Median over seeds of each number, range in brackets. Yaw errors are medians in degrees, modulo symmetry and "
        "raw (the",
        "cube and the cylinder look the same after a turn, so nothing can know the raw yaw). MSSD: share of objects "
        "whose",
        "maximum symmetry-aware surface distance is below a tenth of their diameter.",
    )
    yaws = (c.CUBE, c.RAW_CUBE, c.CYLINDER, c.RAW_CYLINDER)
    columns = (c.IMAGES, c.KINDS, c.POSITION, *yaws, c.MSSD, c.MSE, c.MILLISECONDS, c.RENDERS_EACH)
    page.text(*spread_table(["method"], groups, columns))
    alt = "Inputs and the answers of every method, drawn"
    page.figure("examples.png", kept.path(PART, EXAMPLES, ".png").read_bytes, alt)
    page.text(f"The first test scenes, not selected. Rows from the top: {', '.join(example_names(results))}.")
    page.text("Every seed:")
    rows = [([*name, str(run["seed"]), *_kinds_and_place(run)], run) for name, runs in groups.items() for run in runs]
    names = ["method", "seed", "kinds right", "position cm (p90)"]
    page.text(*run_table(names, rows, (c.CUBE, c.CYLINDER, c.MSSD)))
    return page


def _kinds_and_place(run: Run) -> tuple[str, str]:
    test, place = run["test"], run["test"]["position_error_m"]
    return f"{100 * test['kinds_accuracy']:.1f} %", f"{100 * place['median']:.2f} ({100 * place['p90']:.2f})"


def by_method(runs: list[Run]) -> dict[tuple[str, ...], list[Run]]:
    """Group runs by their methods and sort them by their seeds; the methods by their families and budgets."""
    families = ("air-shipped", "supervised-regression", "supervised", "air", "search-fd", "search")

    def place(run: Run) -> tuple[int, str, int, int]:
        family, _, budget = run["method"].rpartition("-")
        known = [i for i, name in enumerate(families) if run["method"].startswith(name)]
        return min(known), family, int(budget) if budget.isdigit() else 0, run["seed"]

    return grouped(sorted(runs, key=place), "method")


def example_names(results: Results) -> list[str]:
    """The names of the rows of the examples."""
    air, rivals = by_estimator(results.get(estimators.PART, [])), by_method(results[PART])
    first = next(iter(air.values()))[0] if air else {"estimator": "-", "seed": 0}
    of_seed = (name for (name,), runs in rivals.items() if any(run["seed"] == first["seed"] for run in runs))
    return ["input", f"AIR, {first['estimator']}", *of_seed]
