"""Does to pictures what a real sensor does: its lens blurs, photons and electrons are counted, files are compressed.

Of colour first the lens, then the noise, both in linear light, then JPEG; of depth noise and holes. Masks, poses and
everything else that is said of a scene stay exact.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from air3d.scene3d.arguments import check_number, tidy
from air3d.scene3d.arrays import Floats
from air3d.scene3d.srgb import encoded, linear

# At strength 1, the most of each that is drawn.
MAX_BLUR_PX = 2.0
# White makes so many electrons in a pixel, times the square of one over the strength drawn: a phone's camera at night.
FEWEST_ELECTRONS, READ_NOISE_ELECTRONS = 200.0, 4.0
BEST_JPEG, WORST_JPEG = 95, 15
# 0.25 of it is what Khoshelham and Oude Elberink found for the Kinect, 2.85e-5 / cm times half a pixel of disparity
# (2012, "Accuracy and resolution of Kinect depth data for indoor mapping applications", Sensors 12(2)).
MAX_DEPTH_SD_PER_M = 4.0 * 1.425e-3
# Beside a step in depth of more than this share of the farther one, a sensor that triangulates may see nothing.
STEP = 0.03
_LEAST_DRAWN = 1e-3
_LINEAR = linear(np.arange(256) / 255.0)


@dataclass(frozen=True)
class Sensor:
    """Strengths in [0, 1], 0 for none; each picture draws its own, uniformly between 0 and these.

    Attributes:
        blur: a Gaussian lens, up to 2 pixels of standard deviation at strength 1.
        noise: shot noise and read noise, down to 200 electrons at white.
        jpeg: compression as JPEG, down to quality 15.
        depth_noise: noise of depth that grows with its square, up to 5.7 mm at 1 m (four times a Kinect's), and holes
            in up to all pixels beside a step.
    """

    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0
    depth_noise: float = 0.0

    def __post_init__(self) -> None:
        tidy(self)
        for f in fields(self):
            check_number("sensor", f.name, getattr(self, f.name), 0.0, 1.0)


@dataclass(frozen=True)
class Exposure:
    """The strengths that were drawn for one picture; None where one is off.

    Attributes:
        blur_sd_px: the standard deviation of the lens's blur, pixels.
        white_electrons: the mean number of electrons that white makes in a pixel.
        jpeg_quality: the quality of the JPEG, 1 to 100.
        depth_sd_per_m: the standard deviation of depth z is this times z^2, in metres.
        hole_share: the probability that depth is lost beside a step.
    """

    blur_sd_px: float | None = None
    white_electrons: float | None = None
    jpeg_quality: int | None = None
    depth_sd_per_m: float | None = None
    hole_share: float | None = None


def draw_exposure(sensor: Sensor, rngs: dict[str, np.random.Generator]) -> Exposure:
    """Draw how one picture is taken; `rngs` has a stream for every field of `Sensor`, by name."""
    drawn = {
        f.name: max(getattr(sensor, f.name) * rngs[f.name].random(), _LEAST_DRAWN)
        for f in fields(sensor)
        if getattr(sensor, f.name) > 0.0
    }
    blur, noise, jpeg, depth = (drawn.get(name) for name in ("blur", "noise", "jpeg", "depth_noise"))
    return Exposure(
        blur_sd_px=None if blur is None else MAX_BLUR_PX * blur,
        white_electrons=None if noise is None else FEWEST_ELECTRONS / noise**2,
        jpeg_quality=None if jpeg is None else round(BEST_JPEG + (WORST_JPEG - BEST_JPEG) * jpeg),
        depth_sd_per_m=None if depth is None else MAX_DEPTH_SD_PER_M * depth,
        hole_share=depth,
    )


def expose(rgb: NDArray[np.uint8], exposure: Exposure, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Take the picture (H, W, 3) as this exposure says: lens, noise, JPEG; `rng` draws the noise."""
    if exposure.blur_sd_px is not None or exposure.white_electrons is not None:
        light = _LINEAR[rgb]
        if exposure.blur_sd_px is not None:
            light = blurred(light, exposure.blur_sd_px)
        if exposure.white_electrons is not None:
            light = noisy(light, exposure.white_electrons, rng)
        rgb = np.rint(255.0 * encoded(np.clip(light, 0.0, 1.0))).astype(np.uint8)
    return rgb if exposure.jpeg_quality is None else compressed(rgb, exposure.jpeg_quality)


def blurred(light: Floats, sd_px: float) -> Floats:
    """Blur (H, W, C) by a Gaussian; mirrored at the edges, so that no light is lost."""
    return np.asarray(gaussian_filter(light, (sd_px, sd_px, 0.0), mode="reflect"))


def noisy(light: Floats, white_electrons: float, rng: np.random.Generator) -> Floats:
    """Count light in [0, 1] as electrons: Poisson numbers of photons, Gaussian noise of reading.

    The variance at x is x / E + (r / E)^2, where E is `white_electrons` and r the read noise (Foi et al. 2008,
    "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data").
    """
    counted = rng.poisson(light * white_electrons) + READ_NOISE_ELECTRONS * rng.standard_normal(light.shape)
    return np.asarray(counted / white_electrons)


def compressed(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Write (H, W, 3) as JPEG of this quality, 1 to 100, chroma at half resolution, and read it again."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as opened:
        return np.array(opened)


def measured_depth(depth_m: NDArray[np.float32], exposure: Exposure, rng: np.random.Generator) -> NDArray[np.float32]:
    """Measure depth (H, W) in metres: normal noise that grows with its square, holes (+inf) beside steps."""
    if exposure.depth_sd_per_m is None or exposure.hole_share is None:
        return depth_m
    seen = np.isfinite(depth_m)
    z = np.where(seen, depth_m, 0.0).astype(np.float64)
    noise, chance = rng.standard_normal(z.shape), rng.random(z.shape)
    lost = beside_step(depth_m) & (chance < exposure.hole_share)
    measured = np.maximum(z + exposure.depth_sd_per_m * z**2 * noise, 0.0)
    return np.where(seen & ~lost, measured, np.inf).astype(np.float32)


def beside_step(depth_m: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find pixels (H, W) with one of four neighbours nearer or farther by over 3 % of the farther; nothing is far."""
    nearness = 1.0 / depth_m.astype(np.float64)
    found = np.zeros(depth_m.shape, dtype=bool)
    for axis in (0, 1):
        a, b = (np.moveaxis(nearness, axis, 0)[part] for part in (slice(1, None), slice(None, -1)))
        step = np.abs(a - b) > STEP * np.maximum(a, b)
        edges = np.moveaxis(found, axis, 0)
        edges[1:] |= step
        edges[:-1] |= step
    return found
