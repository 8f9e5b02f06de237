"""The named scene priors that `air3d generate tabletop` and `air3d generate single` draw from."""

from __future__ import annotations

import math
from dataclasses import replace

from air3d.scene3d.arguments import Vec3, check_flag, check_number, check_vector, names, whole
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.catalog import CROCKERY, PRIMITIVES
from air3d.scene3d.orbit import Orbit, Vec2
from air3d.scene3d.pose_models import PoseModelName, reach_m
from air3d.scene3d.prior import PERTURBED, Perturbation, PriorConfig
from air3d.scene3d.ranges import Range
from air3d.scene3d.scene import Shape, Table

# A smaller table lets the camera come closer: one object then fills more of the image.
SINGLE_TABLE = Table(radius_m=0.25, place_radius_m=0.15)
# From how high up a bin is looked into.
_INTO_BIN_RAD = (math.radians(45.0), math.radians(75.0))
# Of arrangements of nothing but pans at least 1 in 4,000 is then free of overlap, for any number of objects.
_ON_DEFAULT_TABLE, _PLACE_PER_OBJECT_M = 3, 0.06


def tabletop_prior(
    kinds: tuple[str, ...] = CROCKERY[:3],
    min_objects: int = 0,
    max_objects: int = 3,
    repeat: bool = True,
    perturb: bool | Perturbation = False,
    table: Shape = "round",
    pose: PoseModelName = "upright",
    camera_roll_rad: float = 0.0,
    camera_aim_rad: float = 0.0,
    camera_shift: Vec2 = (0.0, 0.0),
) -> PriorConfig:
    """Make the prior of several objects on a table under a free camera.

    Up to three objects stand on the default table. For more it grows, so that even the largest of them find places
    without overlap, and the camera steps back in proportion: at 6 objects everything is half as large again.

    Args:
        kinds: names in the catalog to draw from.
        min_objects, max_objects: bound the count, which is uniform between them, ends included.
        repeat: whether a kind may occur more than once in a scene.
        perturb: varies size, colour and light: True as `PERTURBED` does, the paper's recipe for transfer.
        table: the shape of the table. One with corners has as much room for objects as the round one, and as wide a rim
            around it where that is narrowest; the camera steps back in proportion. A bin is as wide as it must be for
            objects to be put clear of its walls, and seen from higher up; those that settle are dropped close together.
        pose: the pose model, of `PriorConfig`.
        camera_roll_rad: how far cameras are rolled at most, to either side.
        camera_aim_rad: how far beside the middle, along x and along y, they look at most, as an angle seen from the
            middle distance.
        camera_shift: how far to the right of the image's middle, and below it, the cameras' optical axes meet the
            image, in shares of its height.

    Raises:
        InputError: for values that `PriorConfig` refuses.
    """
    max_objects = whole("prior", "max_objects", max_objects)
    top, varied = Table(), _perturbation(perturb)
    if max_objects > _ON_DEFAULT_TABLE:
        place_m = max(top.place_radius_m, _PLACE_PER_OBJECT_M * max_objects)
        top = Table(radius_m=place_m + top.radius_m - top.place_radius_m, place_radius_m=place_m)
    if table != "round":
        rim_m = top.radius_m - top.place_radius_m
        if table == "bin":  # what stands at the place's edge does not touch the walls
            largest = 1.0 + varied.scale
            rim_m = max(rim_m, *(largest * reach_m(pose, kind) for kind in names("prior", "kinds", kinds)))
            if pose == "settled":  # dropped close together, they pile up
                top = replace(top, place_radius_m=top.place_radius_m / 2.0)
        top = _cornered(top, table, rim_m)
    larger = top.reach_m / Table().radius_m
    look_at = (0.0, 0.0, 0.0)
    if pose == "free":  # the camera sees what hangs above the table, too
        look_at, larger = (0.0, 0.0, 0.8 * top.place_radius_m), 1.15 * larger
    # Into a bin, over its walls.
    elevation_rad = _INTO_BIN_RAD if table == "bin" else CameraPrior().elevation_rad
    return PriorConfig(
        kinds=kinds,
        min_objects=min_objects,
        max_objects=max_objects,
        repeat=repeat,
        table=top,
        camera=_camera(larger, look_at, camera_roll_rad, camera_aim_rad, camera_shift, elevation_rad),
        perturb=varied,
        pose=pose,
        free_height_m=top.place_radius_m if pose == "free" else 0.2,
    )


def _camera(
    larger: float, look_at_m: Vec3, roll_rad: float, aim_rad: float, shift: Vec2, elevation_rad: Range
) -> CameraPrior:
    check_vector("prior", "camera_shift", shift, -100.0, 100.0, length=2)
    check_number("prior", "camera_roll_rad", roll_rad, 0.0, math.pi)
    check_number("prior", "camera_aim_rad", aim_rad, 0.0, 1.0)
    near, far = (end * larger for end in CameraPrior().distance_m)
    aim_m = math.tan(aim_rad) * (near + far) / 2.0
    roll = (0.0 - roll_rad, roll_rad)
    aims = (aim_m, aim_m)
    (right, down) = shift
    return CameraPrior(
        elevation_rad=elevation_rad,
        distance_m=(near, far),
        look_at_m=look_at_m,
        roll_rad=roll,
        aim_m=aims,
        shift_right=(right, right),
        shift_down=(down, down),
    )


def _perturbation(perturb: bool | Perturbation) -> Perturbation:
    if isinstance(perturb, Perturbation):
        return perturb
    check_flag("prior", "perturb", perturb)
    return PERTURBED if perturb else Perturbation()


def _cornered(like: Table, shape: Shape, rim_m: float) -> Table:
    """Make a table with corners whose place is as large as the other's, and its rim as wide as told, or wider."""
    unit = Table(1.0, 1.0, shape).place
    place_m = math.exp((like.place.log_area - unit.log_area) / 2.0)
    return Table(place_m + rim_m / min(unit.half_extents_m), place_m, shape)


def single_prior(kinds: tuple[str, ...] = PRIMITIVES, perturb: bool | Perturbation = False) -> PriorConfig:
    """Make the prior of exactly one object under a fixed camera, as near as the whole table stays in view.

    Args:
        kinds: names in the catalog to draw from.
        perturb: varies size, colour and light: True as `PERTURBED` does.

    Raises:
        InputError: for an unknown kind.
    """
    return PriorConfig(
        kinds=kinds,
        min_objects=1,
        max_objects=1,
        table=SINGLE_TABLE,
        camera=CameraPrior.fixed(nearest_camera(SINGLE_TABLE)),
        perturb=_perturbation(perturb),
    )


def nearest_camera(table: Table) -> Orbit:
    """Move the default camera so near that a sphere around the table nearly touches the edges of the view."""
    fovy = Orbit().fovy_rad
    return Orbit(distance_m=1.03 * table.radius_m / math.sin(fovy / 2.0), fovy_rad=fovy)
