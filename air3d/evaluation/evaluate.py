"""Evaluates a trained model on a dataset with known scenes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.evaluation.answers import answer
from air3d.evaluation.detection import detection_metrics
from air3d.evaluation.metrics import match, scene_metrics
from air3d.evaluation.pose_metrics import mssd_recall, pose_errors
from air3d.evaluation.posterior import posterior_metrics
from air3d.evaluation.scores import detection_scores
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.config_json import config_to_dict
from air3d.scenes.depth import Images, colours, has_depth
from air3d.scenes.guide import Guide
from air3d.scenes.model import Hypotheses, SceneModel, bounds
from air3d.scenes.refine import RefineConfig
from air3d.scenes.resample_move import ResampleMove


class Evaluation(NamedTuple):
    """Metrics, and the answers that they were computed from.

    Attributes:
        metrics: JSON values; the keys of `answer_metrics` and `draw_metrics`, and elbo, iwae_bound, bound_samples,
            sigma (and noise, if it is not Gaussian), seconds_per_image, renders_per_image, renderer (its name).
        inferred: the inferred scenes.
        renders: (B, S, S, 3) uint8, the renders of the inferred scenes.
        image_mse: (B,), the mean squared error of each reconstruction, pixel values in [0, 1].
    """

    metrics: dict[str, Any]
    inferred: SceneBatch
    renders: NDArray[np.uint8]
    image_mse: NDArray[np.float64]


def evaluate(
    model: SceneModel[Guide],
    renderer: Renderer,
    images: Images,
    truth: SceneBatch,
    bound_samples: int,
    seed: int,
    refinement: RefineConfig | None = None,
    visible_fraction: NDArray[np.float64] | None = None,
    report: Callable[[int], None] = lambda count: None,
    fall: bool = False,
    simulated: ResampleMove | None = None,
) -> Evaluation:
    """Infer every image and compare.

    Args:
        images: (B, H, W, 3) uint8, or with depth (`air3d.scenes.depth`); truth: their B scenes.
        bound_samples: K, the samples for the ELBO and the IWAE bound; their renders are not counted as inference.
        seed: seeds the samples for the bounds.
        visible_fraction: (B, N), for the true objects; those hardly visible are left out of the average precision.
        refinement: polishes every answer through the renderer; the bounds stay those of the network alone.
        report: is called with the number of images done since its last call.
        fall: lets every answer fall in the end.
        simulated: samples the posterior in this way for `simulated_calibration`.

    `seconds_per_image` is the time of amortised inference in batches of 128, and of refinement if there is any. The
    bounds are means over images of which at least one posterior sample is allowed by the prior; `images_without_bound`
    counts the others.
    """
    answers = answer(model, renderer, images, refinement, report, fall)
    frames, shown = renderer.render_frames(answers.scenes), colours(images)
    renders = frames.rgb
    scores = detection_scores(shown, renders, frames.segmentation, answers.scenes, answers.presence)
    image_mse = _image_mse(shown, renders)
    hypotheses = model.sample(images, renderer, bound_samples, torch.Generator().manual_seed(seed))
    bound = bounds(hypotheses)
    finite = bound.elbo.isfinite()
    metrics = {
        **answer_metrics(shown, truth, answers.scenes, renders, scores, visible_fraction),
        "elbo": float(bound.elbo[finite].mean()) if finite.any() else None,
        "iwae_bound": float(bound.iwae[finite].mean()) if finite.any() else None,
        "bound_samples": bound_samples,
        "images_without_bound": int((~finite).sum()),
        **config_to_dict(model.likelihood),
        "seconds_per_image": answers.seconds_per_image,
        "renders_per_image": answers.renders_per_image,
        "renderer": renderer.name,
        **({"depth": True} if has_depth(images) else {}),
        **({} if answers.fell is None else {"fell": int(answers.fell.sum())}),
        **draw_metrics(truth, hypotheses),
    }
    if simulated is not None:
        metrics["simulated_calibration"] = simulated_calibration(model, renderer, images, truth, simulated, seed)
    return Evaluation(metrics, answers.scenes, renders, image_mse)


def simulated_calibration(
    model: SceneModel[Guide],
    renderer: Renderer,
    images: Images,
    truth: SceneBatch,
    config: ResampleMove,
    seed: int,
) -> dict[str, Any]:
    """Measure how well sampled posteriors are calibrated where the likelihood holds: simulation-based calibration.

    The likelihood's own noise is added to the images; if the scenes are the prior's, the truth is then one more draw of
    the posterior (Talts et al. 2018). Keys: those of `posterior_metrics` for the moved samples; samples, moves;
    effective_samples: median and p10 of what the guide's draws are worth before they are resampled, and share_from_20,
    the share of images where that is 20 or more; accepted, the mean share of moves; seconds_per_image.

    Raises:
        InputError: if the likelihood's noise is not Gaussian.
    """
    generator = torch.Generator().manual_seed(seed)
    noisy = model.likelihood.noisy(model.pixels(images).cpu(), generator).to(model.device)
    begin = time.perf_counter()
    found = model.posterior(noisy, renderer, config, generator)
    seconds = time.perf_counter() - begin
    worth = found.effective_samples
    return {
        "samples": config.samples,
        "moves": config.moves,
        **posterior_metrics(truth, found.scenes),
        "effective_samples": {
            **_median_and_p10(worth),
            "share_from_20": float(np.mean(worth >= 20.0)) if len(worth) else None,
        },
        "accepted": float(found.accepted.mean()) if len(worth) else None,
        "seconds_per_image": seconds / max(len(worth), 1),
    }


def draw_metrics(truth: SceneBatch, hypotheses: Hypotheses) -> dict[str, Any]:
    """Measure with draws of the guide how sure it is, and how sure it should be.

    - calibration: the result of `posterior_metrics` for the guide's own draws, which count equally;
    - effective_samples: median and p10, over the images, of the draws that the weighted ones of an image are worth;
    - weighted_calibration: the same for the weighted draws; refused while they are worth too few. Images of
      which the prior allows no draw are left out. It judges the posterior of the model's likelihood, whose noise the
      images may lack: to test it, add noise of standard deviation sigma to them.
    """
    kept = np.flatnonzero(hypotheses.allowed > 0)
    worth, each = hypotheses.effective_samples[kept], hypotheses.log_weight.shape[1]
    rows = (kept[:, None] * each + np.arange(each)).reshape(-1)
    return {
        "calibration": posterior_metrics(truth, hypotheses.scenes),
        "effective_samples": _median_and_p10(worth),
        "weighted_calibration": posterior_metrics(truth[kept], hypotheses.scenes[rows], hypotheses.weight[kept]),
    }


def _median_and_p10(values: NDArray[np.float64]) -> dict[str, float | None]:
    quantiles = np.quantile(values, (0.5, 0.1)).tolist() if len(values) else (None, None)
    return dict(zip(("median", "p10"), quantiles, strict=True))


def answer_metrics(
    images: NDArray[np.uint8],
    truth: SceneBatch,
    inferred: SceneBatch,
    renders: NDArray[np.uint8],
    confidence: NDArray[np.float64] | None = None,
    visible_fraction: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Compute the metrics of any answer, whoever gave it: the keys of `scene_metrics` and of `detection_metrics`, and

    - mssd_recall: the share of objects whose MSSD is below a tenth of their diameter (BOP); a wrong kind is a miss;
    - raw_yaw_error_rad: for each kind, the median yaw error that ignores symmetry (None without a right kind);
    - reconstruction_mse: the mean squared error of pixel values in [0, 1] (None without images).

    Args:
        images, renders: (B, H, W, 3) uint8, the inputs and the renders of the inferred scenes.
        confidence, visible_fraction: (B, M) for the inferred and (B, N) for the true objects; see `detection_metrics`.
    """
    matches = match(truth, inferred)
    errors = pose_errors(truth, inferred, images.shape[1])
    raw = {}
    for kind in truth.kinds:
        chosen = np.array([k == kind for k in matches.kind], dtype=bool) & matches.same_kind
        rows, true, found = matches.scene[chosen], matches.true_slot[chosen], matches.inferred_slot[chosen]
        turn = truth.yaw_rad[rows, true] - inferred.yaw_rad[rows, found]
        error = np.abs((turn + np.pi) % (2.0 * np.pi) - np.pi)
        raw[kind] = float(np.median(error)) if len(error) else None
    return {
        **scene_metrics(truth, inferred, matches),
        **detection_metrics(truth, inferred, errors, images.shape[2], confidence, visible_fraction),
        "mssd_recall": mssd_recall(errors, matches),
        "raw_yaw_error_rad": raw,
        "reconstruction_mse": float(_image_mse(images, renders).mean()) if len(images) else None,
    }


def _image_mse(images: NDArray[np.uint8], renders: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(B,): the mean squared error of pixel values in [0, 1]."""
    error = (renders.astype(np.float64) - images) / 255.0
    return np.asarray(np.square(error).mean(axis=(1, 2, 3)))
