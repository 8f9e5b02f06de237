"""The parameters of the wake phase."""

from __future__ import annotations

from dataclasses import dataclass, field

from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError
from air3d.scenes.refine import RefineConfig
from air3d.scenes.schedule import CoarseToFine


@dataclass(frozen=True)
class WakeConfig:
    """Parameters of the wake phase.

    Attributes:
        candidates: K, how many each image has in an object step, and for the camera with the objects.
        own: how many of them the guide draws; the rest come from the prior. All, for other estimators than `rws`,
            and where objects are not upright.
        turns: how many turns on its spot a chosen object has whose turn can be seen; 0 lets turns be weighed with
            everything else of an object.
        cameras: how many cameras of the empty table are drawn for each image; all serve all.
        prior_cameras: how many cameras are drawn from the prior, for the whole batch.
        camera_only: how many further images of a step the camera alone is learned from.
        cameras_start: the effective number of cameras that an image is weighed with at first, as a share of all.
        cameras_end: that number at the end.
        schedule: gives the blur, and the temperature of object candidates.
        cold: the share of the run that such steps take, and their schedule; then it learns from the best scenes that it
            remembers (`air3d.scenes.memory`). 1 for such steps alone.
        remembered: how many images with their remembered scenes make a step then.
        visits: how many images are looked at again in such a step.
        polish: how what is found then is polished.
    """

    candidates: int = 16
    own: int = 12
    turns: int = field(default=0, metadata=LATER, kw_only=True)
    cameras: int = 6
    prior_cameras: int = 128
    camera_only: int = 32
    cameras_start: float = 0.1
    cameras_end: float = 0.006
    schedule: CoarseToFine = field(
        default_factory=lambda: CoarseToFine(
            blur_px=10.0, temperature="samples", samples_start=0.6, samples_end=0.12, anneal=0.6
        )
    )
    cold: float = field(default=1.0, metadata=LATER)
    remembered: int = field(default=128, metadata=LATER)
    visits: int = field(default=16, metadata=LATER)
    polish: RefineConfig = field(default_factory=lambda: RefineConfig(renders=100), metadata=LATER)

    def __post_init__(self) -> None:
        if not 2 <= self.candidates <= 4096 or not 1 <= self.own < self.candidates:
            raise InputError(f"wake: need 1 <= own < candidates <= 4096, not {self.own} and {self.candidates}")
        if not (1 <= self.cameras <= 4096 and 1 <= self.prior_cameras <= 65536 and 0 <= self.camera_only <= 65536):
            raise InputError(
                f"wake: cameras {self.cameras}, prior_cameras {self.prior_cameras} and camera_only {self.camera_only} "
                "are out of range"
            )
        if not (self.turns == 0 or 2 <= self.turns <= 4096):
            raise InputError(f"wake: turns is {self.turns}; use 0, or 2 to 4096")
        if not 0.0 < self.cameras_end <= self.cameras_start <= 1.0:
            raise InputError(
                f"wake: need 0 < cameras_end <= cameras_start <= 1, not {self.cameras_end} and {self.cameras_start}"
            )

        if not 0.0 < self.cold <= 1.0:
            raise InputError(f"wake: cold is {self.cold}, a share of the run; it must lie above 0 and be at most 1")
        if not (1 <= self.visits <= 65536 and 1 <= self.remembered <= 65536):
            raise InputError(f"wake: remembered {self.remembered} and visits {self.visits} must be 1 to 65536")
