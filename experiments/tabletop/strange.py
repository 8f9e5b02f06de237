"""Makes pictures unlike any that a model was trained on, and measures how sure its answers are.

Photos cannot be shipped; these pictures are made here. Some have nothing of a table, some have a real table with
things that the model has no names for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CROCKERY, PRIMITIVES
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene, Table
from air3d.scenes.model import Hypotheses, SceneModel
from experiments.figures import png, white_figure
from experiments.tables import DEGREES, header, number, row

Images = NDArray[np.uint8]

_CHUNK = 32


def pictures(size: int, seed: int) -> dict[str, Images]:
    """Make the pictures (size, size, 3) uint8, by what they show."""
    rng = np.random.default_rng(seed)
    up = np.linspace(0.0, 1.0, size)[:, None, None] * np.ones((1, size, 3))
    rows, columns = np.mgrid[:size, :size]
    board = ((rows * 8 // size + columns * 8 // size) % 2)[..., None] * np.ones(3)
    flat = {
        "grey": np.full((size, size, 3), 0.5),
        "gradient": up * np.array([0.9, 0.7, 0.4]),
        "checkerboard": board,
        "white noise": rng.random((size, size, 3)),
        "1/f noise, the spectrum of photos": _pink(size, rng),
    }
    made = {name: np.rint(255.0 * picture).astype(np.uint8) for name, picture in flat.items()}
    table, small = Table(), Table(radius_m=0.22, place_radius_m=0.14)
    others, shapes, usual = (_scene(rng, kinds, table) for kinds in (CROCKERY[3:], PRIMITIVES, CROCKERY[:3]))
    made["pan, teapot, glass"], made["cube, sphere, cylinder"], shown = _drawn(size, [others, shapes, usual])
    made["a usual scene, smooth and shadowed"] = shown
    made["the same, upside down"] = np.ascontiguousarray(shown[::-1])
    made["a smaller table"] = _drawn(size, [_scene(rng, CROCKERY[:3], small)])[0]
    return made


def answers(
    model: SceneModel[Any], renderer: Renderer, strange: dict[str, Images], ordinary: Images, samples: int
) -> tuple[list[dict[str, Any]], Images]:
    """Infer each picture, and draw the answers.

    Args:
        ordinary: (B, S, S, 3), images of the model's own prior, whose likelihood is compared.
        samples: the number of posterior samples of each picture.

    Returns:
        The JSON values of each picture, which `spread` describes, and the drawings (P, S, S, 3) uint8.
    """
    images = np.stack(list(strange.values()))
    usual = np.sort(_log_likelihood(model, renderer, ordinary)[0])
    likelihood, found, drawn = _log_likelihood(model, renderer, images)
    hypotheses = model.sample(images, renderer, samples, torch.Generator().manual_seed(0))
    rows = []
    for i, (name, scene) in enumerate(zip(strange, found.to_scenes(), strict=True)):
        rows.append(
            {
                "picture": name,
                "answer": sorted(item.kind for item in scene.objects),
                "log_likelihood": float(likelihood[i]),
                "usual_log_likelihood": {"median": float(np.median(usual)), "lowest": float(usual[0])},
                "usual_below": float(np.mean(usual < likelihood[i])),
                **spread(hypotheses, i),
            }
        )
    return rows, drawn


def spread(hypotheses: Hypotheses, index: int) -> dict[str, Any]:
    """Measure how sure the posterior of one picture is, before and after weighing by the likelihood, as JSON values.

    - count_probability: the probability of each number of objects among the draws, without the likelihood;
    - azimuth_spread_rad: the circular standard deviation of the drawn cameras' azimuths;
    - effective_samples: the number that the importance weights leave, 1 to K; None where the prior allows no sample.
    """
    samples = hypotheses.log_weight.shape[1]
    scenes = hypotheses.scenes[slice(index * samples, (index + 1) * samples)]
    counts = np.bincount(scenes.present.sum(axis=1), minlength=scenes.slots + 1) / samples
    length = min(max(abs(np.exp(1j * scenes.camera_azimuth_rad).mean()), 1e-12), 1.0)
    return {
        "count_probability": counts.tolist(),
        "azimuth_spread_rad": math.sqrt(-2.0 * math.log(length)),
        "effective_samples": float(hypotheses.effective_samples[index]) if hypotheses.allowed[index] else None,
        "samples": samples,
    }


def _log_likelihood(
    model: SceneModel[Any], renderer: Renderer, images: Images
) -> tuple[NDArray[np.float64], SceneBatch, Images]:
    """Infer images; return log p(x | z) in nats under the answers (B,), the answers, and their renders."""
    found = model.infer(images, renderer).scenes
    drawn = np.concatenate([renderer.render(found[slice(i, i + _CHUNK)]) for i in range(0, len(images), _CHUNK)])
    error = np.square((drawn.astype(np.float64) - images) / 255.0).sum(axis=(1, 2, 3))
    likelihood = model.likelihood.log_prob(torch.from_numpy(error), images[0].size)
    return likelihood.numpy(), found, drawn


def _scene(rng: np.random.Generator, kinds: tuple[str, ...], table: Table) -> Scene:
    """Make a scene with one object of each kind."""
    prior = PriorConfig(kinds=kinds, min_objects=len(kinds), max_objects=len(kinds), repeat=False, table=table)
    return ScenePrior(prior).sample(rng)


def _drawn(size: int, scenes: list[Scene]) -> Images:
    """Draw scenes on one table in display detail."""
    batch = SceneBatch.from_scenes(scenes)
    with make_renderer(RenderConfig(batch.kinds, batch.table, batch.slots, size, size, "display")) as renderer:
        picture: Images = renderer.render(batch)
    return picture


def _pink(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw noise whose amplitude falls as 1 / frequency, scaled to [0, 1], its channels half alike."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf

    def channel() -> NDArray[np.float64]:
        white = np.fft.rfft2(rng.standard_normal((size, size)))
        field = np.fft.irfft2(white / frequency, s=(size, size))
        return np.asarray(field / field.std())

    common = channel()
    picture = np.stack([common + channel() for _ in range(3)], axis=-1)
    return np.clip(0.5 + 0.18 * picture, 0.0, 1.0)


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Write a line for each picture: its answer, and how sure the model is of it."""
    lines = header(
        "picture", "answer", "likelihood", "usual", "counts 0, 1, 2, ...", "azimuth spread °", "effective samples"
    )
    for r in rows:
        effective = number(r["effective_samples"], "{:.1f}")
        lines.append(
            row(
                r["picture"],
                ", ".join(r["answer"]) or "an empty table",
                f"{r['log_likelihood']:.0f}",
                f"{100.0 * r['usual_below']:.0f} %",
                ", ".join(f"{p:.2f}" for p in r["count_probability"]),
                f"{DEGREES * r['azimuth_spread_rad']:.1f}",
                f"{effective} of {r['samples']}",
            )
        )
    return lines


def strips(answers: Mapping[str, Path], names: Sequence[str]) -> bytes:
    """Draw the strange pictures in a row, and each model's answers below.

    Args:
        answers: the picture of each model by its name: the strange pictures above its answers, (2 * S, P * S, 3).
        names: the names of the P pictures.
    """
    both = {model: np.asarray(Image.open(path)) for model, path in answers.items()}
    side = len(next(iter(both.values()))) // 2
    rows = [("picture", next(iter(both.values()))[:side]), *((model, strip[side:]) for model, strip in both.items())]
    figure = white_figure(1.5 * len(names) + 1.0, 1.5 * len(rows) + 0.6)
    for i, (axes, (name, strip)) in enumerate(
        zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True)
    ):
        axes.imshow(strip, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_ylabel(name.replace(", ", ",\n"), fontsize=8)
        if i == 0:
            axes.set_xticks([side * (column + 0.5) for column in range(len(names))])
            axes.set_xticklabels([name.replace(", ", ",\n") for name in names], fontsize=8)
            axes.tick_params(length=0, labeltop=True, labelbottom=False)
    return png(figure)
