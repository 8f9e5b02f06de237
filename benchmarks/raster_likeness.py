"""Compares the pictures of `raster` with OpenGL's on table tops with kinds of any files.

    python benchmarks/raster_likeness.py --kinds FOLDER --json likeness.json

Structural similarity (Wang et al., IEEE TIP 2004; grey, Gaussian window of 1.5 pixels) is averaged over whole pictures,
and over the pixels of objects alone, which the bare table cannot flatter. Silhouettes are those of the segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

from air3d.cli.json_file import write_json
from air3d.datasets.provenance import provenance
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Frames, RenderConfig
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.prior import PriorConfig, ScenePrior


@dataclass(frozen=True)
class Args:
    """Measure how like OpenGL's the pictures of `raster` are."""

    kinds: tuple[str, ...]
    """Kinds of the objects: names, files of objects, folders of them."""
    scenes: int = 256
    """How many scenes are drawn, of three objects each."""
    size: int = 128
    """Height and width of the pictures, pixels."""
    seed: int = 0
    """Seeds the scenes."""
    json: Path | None = None
    """File to which the result is written."""


def similarity(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the structural similarity (B, H, W) of pictures (B, H, W, 3), pixel by pixel."""

    def blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(x, sigma=(0, 1.5, 1.5)))

    x, y = a.mean(axis=-1), b.mean(axis=-1)
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.asarray((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))


def likeness(want: Frames, got: Frames) -> dict[str, Any]:
    """Compare pictures; see `main` for the keys."""
    similar = similarity(want.rgb, got.rgb)
    objects = want.segmentation > 0
    farther = 0  # pixels of another object than within a pixel of them in the reference
    for mine, theirs in zip(got.segmentation, want.segmentation, strict=True):
        for value in np.unique(mine).tolist():
            near = binary_dilation(theirs == value, np.ones((3, 3), dtype=bool))
            farther += int(((mine == value) & ~near).sum())
    return {
        "ssim": float(similar.mean()),
        "least_ssim": float(similar.mean(axis=(1, 2)).min()),
        "ssim_of_objects": float(similar[objects].mean()),
        "other_label": float((want.segmentation != got.segmentation).mean()),
        "farther_than_a_pixel": farther,
        "colour_of_objects": float(np.abs(want.rgb[objects].astype(int) - got.rgb[objects]).mean()),
    }


def main(args: Args) -> None:
    """Draw, compare, print and write.

    `ssim` and `least_ssim` are of whole pictures, the mean and the least; `other_label` is the share of pixels whose
    segmentation differs, `farther_than_a_pixel` the number of those that a shift by one pixel does not explain;
    `colour_of_objects` is the mean absolute difference, of 255.
    """
    kinds = resolve_kinds(args.kinds)
    prior = PriorConfig(kinds=kinds, min_objects=3, max_objects=3)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(args.seed), args.scenes)
    config = RenderConfig(kinds, prior.table, 3, args.size, args.size)
    with make_renderer(config, "gl") as reference, make_renderer(config, "raster") as raster:
        found = likeness(reference.render_frames(scenes), raster.render_frames(scenes))
    print("\n".join(f"{key}: {value:.5g}" for key, value in found.items()))
    about = {"kinds": kinds, "scenes": args.scenes, "size": args.size, "seed": args.seed}
    write_json(args.json, {**about, **found, "provenance": provenance()})


if __name__ == "__main__":
    main(tyro.cli(Args))
