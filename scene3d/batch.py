"""Many scenes at once, as padded arrays: the form that renderers and inference exchange."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats
from air3d.scene3d.camera import Camera
from air3d.scene3d.catalog import full_name, get_kind
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.orbit import Orbit, orbit_frames
from air3d.scene3d.poses import UNIT, frames_of, tilt_of, yaw_of
from air3d.scene3d.scene import MAX_LAMPS, Cloth, Lamp, Light, Scene, SceneObject, Table
from air3d.scene3d.textures import TEXTURES

ABSENT = -1


@dataclass(frozen=True)
class SceneBatch:
    """B scenes of up to N objects on one common table.

    Attributes:
        kinds: the names that `kind` indexes.
        table: the table that all scenes share (it is compiled into the model).
        kind: (B, N) int64, an index into `kinds`, or ABSENT (-1) for an empty slot.
        position_m: (B, N, 3), the world position of each origin, metres.
        rotation_wxyz: (B, N, 4), object to world, unit quaternions up to 1e-6.
        scale: (B, N), 1 is the catalog's size.
        colour: (B, N, 3) sRGB in [0, 1].
        camera_azimuth_rad, camera_elevation_rad, camera_distance_m, camera_fovy_rad, camera_roll_rad,
            camera_fx_over_fy: (B,).
        camera_look_at_m: (B, 3).
        camera_shift: (B, 2).
        light_azimuth_rad, light_elevation_rad, light_diffuse, light_ambient: (B,).
        lamps: (B, MAX_LAMPS, 3), azimuth, elevation (radians) and diffuse brightness of the further lamps; 0: none.
        texture: (B, N) int64, an index into `textures`, or ABSENT for the kind's own.
        cloth_texture: (B,) int64, the same for the cloth on the table, or ABSENT for no cloth.
        cloth_colour: (B, 3) sRGB.
        textures: the names that `texture` and `cloth_texture` index.
    """

    kinds: tuple[str, ...]
    table: Table
    kind: NDArray[np.int64]
    position_m: Floats
    rotation_wxyz: Floats
    scale: Floats
    colour: Floats
    camera_azimuth_rad: Floats
    camera_elevation_rad: Floats
    camera_distance_m: Floats
    camera_look_at_m: Floats
    camera_fovy_rad: Floats
    camera_roll_rad: Floats
    camera_shift: Floats
    camera_fx_over_fy: Floats
    light_azimuth_rad: Floats
    light_elevation_rad: Floats
    light_diffuse: Floats
    light_ambient: Floats
    lamps: Floats
    texture: NDArray[np.int64]
    cloth_texture: NDArray[np.int64]
    cloth_colour: Floats
    textures: tuple[str, ...] = TEXTURES

    def __post_init__(self) -> None:
        if self.kind.ndim != 2:
            raise InputError(f"scene batch: kind has shape {self.kind.shape}; it must be (B, N)")
        b, n = self.kind.shape
        for name, shape in _shapes(b, n).items():
            if getattr(self, name).shape != shape:
                raise InputError(f"scene batch: {name} has shape {getattr(self, name).shape}; it must be {shape}")
        if b and n and not (ABSENT <= self.kind.min() and self.kind.max() < len(self.kinds)):
            raise InputError(f"scene batch: kind indices must be -1 or below {len(self.kinds)}")
        for name in ("texture", "cloth_texture"):
            index = getattr(self, name)
            if index.size and not (ABSENT <= index.min() and index.max() < len(self.textures)):
                raise InputError(f"scene batch: {name} must be -1 or below {len(self.textures)}")
        square = np.einsum("bni,bni->bn", self.rotation_wxyz, self.rotation_wxyz)
        if not ((abs(square - 1.0) <= 2.0 * UNIT) | ~self.present).all():
            raise InputError("scene batch: rotation_wxyz holds something else than unit quaternions")

    def __len__(self) -> int:
        return int(self.kind.shape[0])

    @property
    def slots(self) -> int:
        """N, the number of object slots in each scene."""
        return int(self.kind.shape[1])

    @property
    def present(self) -> NDArray[np.bool_]:
        """(B, N), True where a slot holds an object."""
        return self.kind != ABSENT

    @property
    def varied(self) -> bool:
        """Whether some scene has what only renderers draw that were made for it (`RenderConfig.varied`)."""
        worn = (self.texture != ABSENT) & self.present
        return bool((self.lamps[..., 2] > 0.0).any() or worn.any() or (self.cloth_texture != ABSENT).any())

    @property
    def pictures(self) -> tuple[str, ...]:
        """Those of `textures` that are pictures."""
        return tuple(name for name in self.textures if name not in TEXTURES)

    @property
    def yaw_rad(self) -> Floats:
        """(B, N), in [-pi, pi]; of a tilted object, the yaw of the nearest upright rotation (see `yaw_of`)."""
        return yaw_of(self.rotation_wxyz)

    @property
    def tilt_rad(self) -> Floats:
        """(B, N), the angles between the objects' own z axes and the world's; 0 for upright ones."""
        return tilt_of(self.rotation_wxyz)

    def __iter__(self) -> Iterator[Scene]:
        return (self._scene(b) for b in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Scene: ...

    @overload
    def __getitem__(self, index: slice | NDArray[np.int64] | NDArray[np.bool_]) -> SceneBatch: ...

    def __getitem__(self, index: int | slice | NDArray[np.int64] | NDArray[np.bool_]) -> Scene | SceneBatch:
        """Select scenes along the batch axis; a number gives the scene itself.

        Raises:
            IndexError: if there is no such scene.
        """
        if isinstance(index, (int, np.integer)):
            return self._scene(range(len(self))[index])
        chosen: dict[str, Any] = {name: getattr(self, name)[index] for name in _ARRAYS}
        return replace(self, **chosen)

    def frames(self) -> Floats:
        """Poses of the objects, (B, N, 4, 4) object to world without the scale, metres; empty slots hold rubbish."""
        return frames_of(self.position_m, self.rotation_wxyz)

    def cameras(self, width: int, height: int) -> Camera:
        """The cameras (B) of images of this size, pixels: all that renderers and measures know of them."""
        frames = orbit_frames(
            self.camera_azimuth_rad,
            self.camera_elevation_rad,
            self.camera_distance_m,
            self.camera_look_at_m,
            self.camera_roll_rad,
        )
        fy = height / 2.0 / np.tan(self.camera_fovy_rad / 2.0)
        return Camera.pinhole(frames, fy, width, height, self.camera_shift, self.camera_fx_over_fy)

    def widened(self, height: int, margin: int) -> SceneBatch:
        """The same scenes under cameras that see `margin` rows more above and below images of this height.

        At the sides they see as much more as the images are made wider.
        """
        larger = (height + 2 * margin) / height
        half = np.tan(self.camera_fovy_rad / 2.0) * larger
        return replace(self, camera_fovy_rad=2.0 * np.arctan(half), camera_shift=self.camera_shift / larger)

    def singles(self, rows: NDArray[np.int64], slots: NDArray[np.int64]) -> SceneBatch:
        """M scenes of one slot: what is in `slots[m]` of scene `rows[m]` by itself."""
        pick = np.arange(len(rows))[:, None], np.asarray(slots)[:, None]
        chosen = self[rows]
        return replace(chosen, **{name: getattr(chosen, name)[pick] for name in _EMPTY_SLOT})

    def reordered(self, order: NDArray[np.int64]) -> SceneBatch:
        """Put what is in slot `order[b, n]` of scene b into its slot n, for `order` (B, N)."""
        pick = np.arange(len(self))[:, None], np.asarray(order)
        return replace(self, **{name: getattr(self, name)[pick] for name in _EMPTY_SLOT})

    def with_slots(self, slots: int) -> SceneBatch:
        """Pad the scenes with empty slots up to `slots`.

        Raises:
            InputError: if there are more slots already.
        """
        extra = slots - self.slots
        if extra < 0:
            raise InputError(f"scene batch: {self.slots} slots do not fit into {slots}")
        if extra == 0:
            return self
        grown: dict[str, Any] = {
            name: np.concatenate([array, np.broadcast_to(value, (len(self), extra, *array.shape[2:]))], axis=1)
            for name, value in _EMPTY_SLOT.items()
            for array in [getattr(self, name)]
        }
        return replace(self, **grown)

    @staticmethod
    def concatenate(batches: Sequence[SceneBatch]) -> SceneBatch:
        """Join batches of the same kinds, table and slots along the batch axis.

        Raises:
            InputError: if kinds, table or slots differ, or there is no batch.
        """
        if not batches:
            raise InputError("scene batch: no batches given")
        first = batches[0]
        if any((b.kinds, b.table, b.slots) != (first.kinds, first.table, first.slots) for b in batches):
            raise InputError("scene batch: batches of different kinds, tables or slots cannot be joined")
        textures = _textures(name for b in batches for name in b.textures)
        first, batches = replace(first, textures=textures), [b._indexing(textures) for b in batches]
        joined: dict[str, Any] = {name: np.concatenate([getattr(b, name) for b in batches]) for name in _ARRAYS}
        return replace(first, **joined)

    @staticmethod
    def from_scenes(
        scenes: Scene | Iterable[Scene],
        kinds: tuple[str, ...] | None = None,
        slots: int | None = None,
        table: Table | None = None,
    ) -> SceneBatch:
        """Pack scenes.

        Args:
            scenes: the scenes, all on the same table; one scene counts as a list of it.
            kinds: the names to index; default: those that occur, sorted.
            slots: N; default: the largest number of objects, at least 1.
            table: the table of all scenes; default: the first scene's, and without any scene the default one.

        Raises:
            InputError: for something that is no scene, different tables, a kind not in `kinds`, or too few slots.
        """
        scenes = as_scenes(scenes)
        if table is None:
            table = scenes[0].table if scenes else Table()
        if any(scene.table != table for scene in scenes):
            raise InputError("scene batch: scenes stand on different tables; batch those of one table together")
        if kinds is None:
            kinds = tuple(sorted({item.kind for scene in scenes for item in scene.objects}))
        kinds = tuple(map(full_name, kinds))
        most = max((len(scene.objects) for scene in scenes), default=0)
        slots = max(most, 1) if slots is None else slots
        if most > slots:
            raise InputError(f"scene batch: a scene holds {most} objects, more than the {slots} slots")
        arrays: dict[str, Any] = {name: _empty(name, shape) for name, shape in _shapes(len(scenes), slots).items()}
        kind = np.full((len(scenes), slots), ABSENT, dtype=np.int64)
        textures = _textures(name for scene in scenes for name in scene.textures)
        for b, scene in enumerate(scenes):
            for n, item in enumerate(scene.objects):
                if item.kind not in kinds:
                    raise InputError(f"scene batch: kind '{item.kind}' is not among {', '.join(kinds)}")
                kind[b, n] = kinds.index(item.kind)
                for name in ("position_m", "rotation_wxyz", "scale"):
                    arrays[name][b, n] = getattr(item, name)
                arrays["colour"][b, n] = item.rgb
                if item.texture is not None:
                    arrays["texture"][b, n] = textures.index(item.texture)
            for f in fields(Orbit):
                arrays[f"camera_{f.name}"][b] = getattr(scene.camera, f.name)
            for name in Light.NUMBERS:
                arrays[f"light_{name}"][b] = getattr(scene.light, name)
            arrays["lamps"][b] = lamp_rows(scene.light)
            if scene.cloth is not None:
                arrays["cloth_texture"][b] = textures.index(scene.cloth.texture)
                arrays["cloth_colour"][b] = scene.cloth.colour
        return SceneBatch(kinds=kinds, table=table, kind=kind, **arrays, textures=textures)

    def to_scenes(self) -> list[Scene]:
        """Unpack; a colour equal to the catalog's becomes None, so packing and unpacking round-trip."""
        return [self._scene(b) for b in range(len(self))]

    def _scene(self, b: int) -> Scene:
        objects = []
        for n in np.flatnonzero(self.present[b]):
            name = self.kinds[self.kind[b, n]]
            colour = _plain(self.colour[b, n])
            colour = None if colour == get_kind(name).colour else colour
            position, rotation, scale = (_plain(a[b, n]) for a in (self.position_m, self.rotation_wxyz, self.scale))
            texture = self._texture(self.texture[b, n])
            objects.append(SceneObject(name, position, rotation, scale, colour, texture))
        camera = Orbit(**{f.name: _plain(getattr(self, f"camera_{f.name}")[b]) for f in fields(Orbit)})
        numbers = {name: _plain(getattr(self, f"light_{name}")[b]) for name in Light.NUMBERS}
        light = Light(**numbers, lamps=tuple(Lamp(*_plain(row)) for row in self.lamps[b] if row[2] > 0.0))
        covered = self._texture(self.cloth_texture[b])
        cloth = None if covered is None else Cloth(_plain(self.cloth_colour[b]), covered)
        return Scene(objects=tuple(objects), camera=camera, table=self.table, light=light, cloth=cloth)

    def _indexing(self, textures: tuple[str, ...]) -> SceneBatch:
        """The same scenes, whose textures are indices into others."""
        table = np.array([*map(textures.index, self.textures), ABSENT], dtype=np.int64)
        worn, covering = table[self.texture], table[self.cloth_texture]
        return replace(self, texture=worn, cloth_texture=covering, textures=textures)

    def _texture(self, index: Any) -> str | None:
        return None if index == ABSENT else self.textures[index]


def as_scenes(scenes: object) -> list[Scene]:
    """Make a list of one scene or of any iterable of scenes.

    Raises:
        InputError: for anything else.
    """
    found: list[Scene] = []
    for scene in scenes if isinstance(scenes, Iterable) else [scenes]:
        if not isinstance(scene, Scene):
            raise InputError(f"scene batch: {shown(scene)} is no Scene; give a Scene, or several")
        found.append(scene)
    return found


def lamp_rows(light: Light) -> Floats:
    """The further lamps of a light as a row of `SceneBatch.lamps`, (MAX_LAMPS, 3)."""
    rows = np.zeros((MAX_LAMPS, 3))
    for row, lamp in zip(rows, light.lamps, strict=False):
        row[:] = lamp.azimuth_rad, lamp.elevation_rad, lamp.diffuse
    return rows


def unworn(b: int, n: int) -> dict[str, Any]:
    """The arrays of B scenes of N slots in which nothing wears a texture and no cloth covers the table, by name."""
    return {name: _empty(name, _shapes(b, n)[name]) for name in ("texture", "cloth_texture", "cloth_colour")}


def _textures(names: Iterable[str]) -> tuple[str, ...]:
    """`TEXTURES`, and the pictures among the names."""
    return TEXTURES + tuple(sorted(set(names) - set(TEXTURES)))


def _empty(name: str, shape: tuple[int, ...]) -> Any:
    return np.full(shape, ABSENT if name == "cloth_texture" else _EMPTY_SLOT.get(name, 0.0))


def _plain(value: Any) -> Any:
    return tuple(value.tolist()) if np.ndim(value) else float(value)


# The shapes of those fields of `Orbit` that are no numbers.
_OF_CAMERA = {"look_at_m": (3,), "shift": (2,)}


def _shapes(b: int, n: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"position_m": (b, n, 3), "rotation_wxyz": (b, n, 4)}
    shapes |= {"scale": (b, n), "colour": (b, n, 3)}
    shapes |= {f"camera_{f.name}": (b, *_OF_CAMERA.get(f.name, ())) for f in fields(Orbit)}
    shapes |= {f"light_{name}": (b,) for name in Light.NUMBERS}
    shapes |= {"lamps": (b, MAX_LAMPS, 3), "texture": (b, n), "cloth_texture": (b,), "cloth_colour": (b, 3)}
    return shapes


_ARRAYS = ("kind", *_shapes(0, 0))
# The arrays that hold something of every slot, and what an empty one holds.
_EMPTY_SLOT: dict[str, Any] = {
    "kind": ABSENT, "position_m": 0.0, "rotation_wxyz": (1.0, 0.0, 0.0, 0.0), "scale": 1.0, "colour": 0.0,
    "texture": ABSENT,
}  # fmt: skip
