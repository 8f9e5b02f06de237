"""Physics of scenes, by MuJoCo: objects of any kinds are dropped onto a support until they lie still.

A drop depends on its arguments alone: it runs in one thread, from a state of its own. So scenes may be settled in any
number of processes, in any order.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import mujoco
import numpy as np

from air3d.scene3d.arguments import check_number, tidy
from air3d.scene3d.arrays import Floats
from air3d.scene3d.contacts import add_bodies, add_ground, set_options, sized
from air3d.scene3d.drop import start_poses
from air3d.scene3d.errors import InputError
from air3d.scene3d.ground import Ground
from air3d.scene3d.scene import Scene
from air3d.scene3d.surface import Surfaces

_CHECKED_EVERY = 10
# The step of the models that judge.
_JUDGED_STEP_S = 0.005
_MODELS = 1024
# The syrup's time constant, and how long what is slow is watched without it.
_SLOWED_S, _JUDGED_S = 0.10, 0.10
# In the syrup what leans creeps, which the friction of the judged model holds: there so many times faster is slow, too.
_FALL_SLOW = 5.0
# By MuJoCo's own, shorter step, what leans may be a little faster: judged is half the speed that is promised.
_JUDGED_SLOW = 0.5


@dataclass(frozen=True)
class SettleConfig:
    """Says what counts as settled, and how long it may take.

    Attributes:
        speed_m_s, turn_rad_s: every object's centre of mass is slower than the one and turns slower than the other.
        penetration_m: no two bodies are deeper in each other, by MuJoCo's contacts.
        seconds: the longest that one drop may take, simulated.
        timestep_s: the step of the fall.
    """

    speed_m_s: float = 0.001
    turn_rad_s: float = 0.0174
    penetration_m: float = 0.001
    seconds: float = 3.0
    timestep_s: float = 0.005

    def __post_init__(self) -> None:
        tidy(self)
        for name, low, high in (
            ("speed_m_s", 1e-6, 1.0),
            ("turn_rad_s", 1e-6, 10.0),
            ("penetration_m", 1e-6, 0.1),
            ("seconds", 0.1, 100.0),
            ("timestep_s", 0.0005, 0.005),
        ):
            check_number("settle", name, getattr(self, name), low, high)


class Settled(NamedTuple):
    """Where N objects ended.

    Attributes:
        position_m: (N, 3), their origins.
        rotation_wxyz: (N, 4), object to world, unit quaternions with w >= 0.
        still: whether all are slower than the limits.
        inside: whether MuJoCo's contacts with what carries them lie on the tops.
        speed_m_s, turn_rad_s: the fastest object's.
        penetration_m: the deepest contact's depth.
        seconds: the time simulated.
    """

    position_m: Floats
    rotation_wxyz: Floats
    still: bool
    inside: bool
    speed_m_s: float
    turn_rad_s: float
    penetration_m: float
    seconds: float

    def good(self, config: SettleConfig) -> bool:
        """Tell whether this is a settled scene."""
        return self.still and self.inside and self.penetration_m < config.penetration_m


class _Models(NamedTuple):
    """The same plane and objects twice.

    Attributes:
        falling: slows them down like a medium, so that they come to rest sooner, and leaves alone what is still.
        free: moves them as they are, to see whether they are at rest.
    """

    falling: mujoco.MjModel
    free: mujoco.MjModel


@lru_cache(maxsize=_MODELS)
def _compiled(kinds: tuple[str, ...], ground: Ground) -> mujoco.MjModel:
    """Compile a ground and objects of size 1; a model is never changed afterwards."""
    spec = mujoco.MjSpec()
    set_options(spec, _JUDGED_STEP_S)
    add_ground(spec, ground)
    for number, kind in enumerate(kinds):
        body = spec.worldbody.add_body()
        body.add_freejoint()
        add_bodies(spec, body, kind, 1.0, str(number))
    return spec.compile()


def _models(kinds: tuple[str, ...], scales: tuple[float, ...], timestep_s: float, ground: Ground) -> _Models:
    """Make the models of one scene."""
    free = _compiled(kinds, ground)
    if any(scale != 1.0 for scale in scales):
        free = sized(free, scales)
    falling = copy.copy(free)
    falling.opt.timestep, falling.opt.noslip_iterations = timestep_s, 0
    falling.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_SLEEP)
    falling.opt.sleep_tolerance = 0.001 * _FALL_SLOW
    damping = falling.dof_damping.reshape(-1, 6)
    damping[:, :3], damping[:, 3:] = free.body_mass[1:, None], free.body_inertia[1:].mean(axis=1)[:, None]
    damping /= _SLOWED_S
    return _Models(falling, free)


def settle(
    kinds: Sequence[str],
    scales: Sequence[float],
    position_m: Floats,
    rotation_wxyz: Floats,
    ground: Ground,
    config: SettleConfig | None = None,
) -> Settled:
    """Drop N objects of given kinds and scales, and wait until they lie still, or the time is over.

    They fall as if in a thin syrup, until all are slow; then a tenth of a second follows without it, in which they must
    stay slow, and after which contacts are judged. A drop is given up as soon as an origin is over no top.

    Args:
        position_m: (N, 3), where the origins start.
        rotation_wxyz: (N, 4), object to world, at the start.
        ground: all that they fall onto.
    """
    config = config or SettleConfig()
    count = len(kinds)
    if not count:
        return Settled(np.zeros((0, 3)), np.zeros((0, 4)), True, True, 0.0, 0.0, 0.0, 0.0)
    # In the order of their names, so that models are shared by scenes of the same objects.
    order = sorted(range(count), key=lambda n: (kinds[n], scales[n]))
    names, sizes = tuple(kinds[n] for n in order), tuple(float(scales[n]) for n in order)
    models = _models(names, sizes, config.timestep_s, ground)
    poses = np.concatenate([position_m, rotation_wxyz], axis=1)[order]
    seconds, left = 0.0, False
    while True:
        moved = _run(models.falling, poses, config, ground, config.seconds - seconds)
        seconds, left = seconds + moved.seconds, moved.left
        moved = _run(models.free, moved.poses, config, ground, _JUDGED_S)
        poses, left = moved.poses, left or moved.left
        if moved.still or left or seconds >= config.seconds:
            break
    back = np.argsort(order)
    rotation = poses[back, 3:] / np.linalg.norm(poses[back, 3:], axis=1, keepdims=True)
    return Settled(
        poses[back, :3],
        np.where(rotation[:, :1] < 0.0, -rotation, rotation),
        moved.still,
        not left and bool(ground.holds(moved.touched_m).all()),
        moved.speed_m_s,
        moved.turn_rad_s,
        moved.penetration_m,
        seconds,
    )


class _Moved(NamedTuple):
    poses: Floats
    touched_m: Floats
    still: bool
    left: bool
    speed_m_s: float
    turn_rad_s: float
    penetration_m: float
    seconds: float


def _run(model: mujoco.MjModel, start: Floats, config: SettleConfig, ground: Ground, seconds: float) -> _Moved:
    """Step from poses (N, 7) at rest: in the syrup until all are slow, without it as long as they are."""
    data = mujoco.MjData(model)
    poses, speeds = data.qpos.reshape(-1, 7), data.qvel.reshape(-1, 6)
    poses[:] = start
    waits = bool(model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP)
    calm, left = 0, False
    for _ in range(max(1, round(seconds / model.opt.timestep / _CHECKED_EVERY))):
        mujoco.mj_step(model, data, _CHECKED_EVERY)
        speed, turn = (float(np.sqrt((part**2).sum(axis=1).max())) for part in (speeds[:, :3], speeds[:, 3:]))
        limit = _FALL_SLOW if waits else _JUDGED_SLOW
        slow = speed < limit * config.speed_m_s and turn < limit * config.turn_rad_s
        # Twice in a row: what turns round is slow for a moment.
        calm = calm + 1 if slow else 0
        left = not bool(ground.holds(poses[:, :3]).all())
        if left or (waits and calm == 2) or (not waits and not slow):
            break
    if not waits:  # contacts where it ended
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
    touched = data.contact.pos[(data.contact.geom < len(ground.tops)).any(axis=1)]
    depth = float(np.maximum(-data.contact.dist, 0.0).max(initial=0.0))
    return _Moved(poses.copy(), touched.copy(), slow, left, speed, turn, depth, float(data.time))


def settled(
    rng: np.random.Generator,
    kinds: Sequence[str],
    scales: Sequence[float],
    places: Surfaces,
    ground: Ground,
    tumbled: float = 0.5,
    max_tries: int = 100,
    config: SettleConfig | None = None,
) -> Settled:
    """Drop objects from random poses, again and again until a drop ends well: all on the table, still and apart.

    Each starts above a uniform point of `places` (`air3d.scene3d.drop.start_poses`).

    Args:
        places: where origins are dropped.
        ground: all that they fall onto.

    Raises:
        InputError: if no drop of `max_tries` ends well.
    """
    config = config or SettleConfig()
    for _ in range(max_tries):
        end = settle(kinds, scales, *start_poses(rng, kinds, scales, places, tumbled), ground, config)
        if end.good(config):
            return end
    raise InputError(
        f"could not settle {len(kinds)} objects ({', '.join(kinds)}) {ground} in {max_tries} tries; use fewer or "
        "smaller objects, or a larger table"
    )


def settled_scene(scene: Scene, config: SettleConfig | None = None) -> Scene:
    """Let the objects of a scene fall from where they are until they lie still, on its table.

    Raises:
        InputError: if they do not come to rest, leave the table, or began in each other so that they stay it.
    """
    config = config or SettleConfig()
    objects = scene.objects
    position = np.array([item.position_m for item in objects]).reshape(-1, 3)
    rotation = np.array([item.rotation_wxyz for item in objects]).reshape(-1, 4)
    kinds, scales = [item.kind for item in objects], [item.scale for item in objects]
    end = settle(kinds, scales, position, rotation, scene.table.ground, config)
    if not end.good(config):
        why = (
            "something leaves it"
            if not end.inside
            else f"objects are {1000.0 * end.penetration_m:.1f} mm in each other; let them start apart"
            if end.penetration_m >= config.penetration_m
            else f"something still moves after {end.seconds:.1f} s"
        )
        raise InputError(f"the scene does not settle on {scene.table}: {why}")
    poses = zip(objects, end.position_m.tolist(), end.rotation_wxyz.tolist(), strict=True)
    moved = (replace(item, position_m=tuple(at), rotation_wxyz=tuple(turn)) for item, at, turn in poses)
    return replace(scene, objects=tuple(moved))
