"""The settings of an environment: which scenes are to be explained, how pictures are compared and drawn."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from air3d.distributions.pixel_noise import NoiseName, PixelNoise
from air3d.renderers.choice import Backend
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.arguments import check_number, names, tidy
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import PriorConfig

CameraMode = Literal["free", "fixed"]


@dataclass(frozen=True)
class EnvironmentConfig:
    """Settings, each a keyword of `gymnasium.make`.

    Attributes:
        kinds: the names of the kinds that scenes are drawn from.
        min_objects, max_objects: bound the count, which is uniform; `max_objects` is also the number of slots.
        camera: "free": it is drawn anew for each scene and has to be found; "fixed": it is one known camera.
        image_size: the side of the pictures, pixels.
        sigma: the standard deviation of the likelihood N(x | render(z), sigma^2 I); pictures have values in [0, 1].
        noise: the kind of the likelihood's noise, a name in `air3d.distributions.pixel_noise.NOISES`.
        blur_px: the standard deviation, in pixels, of a Gaussian blur of both pictures before comparison; 0 for none.
        tolerance: ends an episode when the log-likelihood is within this many nats per number of the picture of
            that of the target itself; 0 asks for the identical picture.
        reveal: whether `info` tells the true scene.
        renderer: the backend that draws; "auto" is `warp` on CUDA, else `raster`.
    """

    kinds: tuple[str, ...] = CROCKERY[:3]
    min_objects: int = 1
    max_objects: int = 3
    camera: CameraMode = "free"
    image_size: int = 64
    sigma: float = 0.1
    blur_px: float = 0.0
    tolerance: float = 0.01
    reveal: bool = False
    renderer: Backend = "auto"
    noise: NoiseName = "gaussian"

    def __post_init__(self) -> None:
        tidy(self)
        object.__setattr__(self, "kinds", names("environment", "kinds", self.kinds))
        for name, low, high in (("min_objects", 0, 16), ("max_objects", 1, 16), ("image_size", 8, 1024)):
            value = getattr(self, name)
            check_number("environment", name, value, low, high)
            if not isinstance(value, int):
                raise InputError(f"environment: {name} is {shown(value)}; it must be a whole number")
        for name, choices in (("camera", CameraMode), ("renderer", Backend)):
            if getattr(self, name) not in get_args(choices):
                allowed = ", ".join(get_args(choices))
                raise InputError(f"environment: {name} is {shown(getattr(self, name))}; use one of {allowed}")
        check_number("environment", "sigma", self.sigma, 1e-3, 10.0)
        PixelNoise(self.sigma, self.noise)
        check_number("environment", "blur_px", self.blur_px, 0.0, 1000.0)
        check_number("environment", "tolerance", self.tolerance, 0.0, 1e6)
        if not isinstance(self.reveal, bool):
            raise InputError(f"environment: reveal is {shown(self.reveal)}; use True or False")
        self.prior  # noqa: B018 - refuses kinds and counts that do not go together

    @staticmethod
    def of(settings: Mapping[str, Any]) -> EnvironmentConfig:
        """Make the configuration from keywords.

        Raises:
            InputError: for an unknown name or an unusable value.
        """
        known = [field.name for field in fields(EnvironmentConfig)]
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'? " if near else ""
                raise InputError(f"environment: unknown setting '{name}': {hint}settings are {', '.join(known)}")
        return EnvironmentConfig(**settings)

    @property
    def prior(self) -> PriorConfig:
        """The prior that scenes are drawn from."""
        camera = CameraPrior() if self.camera == "free" else CameraPrior.fixed(Orbit())
        return PriorConfig(self.kinds, self.min_objects, self.max_objects, camera=camera)

    @property
    def render_config(self) -> RenderConfig:
        """The configuration that the renderer is made for."""
        return RenderConfig(self.kinds, self.prior.table, self.max_objects, self.image_size, self.image_size)

    @property
    def numbers(self) -> int:
        """D, the number of numbers in a picture: 3 channels of each pixel."""
        return 3 * self.image_size**2
