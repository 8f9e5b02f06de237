"""Keeps kinds of the user's own by content: a full name is NAME@DIGEST, the digest is that of everything about it.

A kind is a few files, laid out as the assets are: `kinds/FULL.json` (what it is, and the sha256 of the others),
`meshes/FULL.inference.obj`, `meshes/FULL.display.obj` and, if it has one, `textures/FULL.png`, beside it
`textures/FULL.inference.png` where inference has another; `solids/FULL.json`, bodies for collisions, if it has any.
The digest in the name is the beginning of the sha256 of the JSON file, so a name means one content for ever:
configurations, scenes and caches that hold it are exact, and looking it up needs no state but the files. They are found
in the user's cache. Datasets, models and answers carry copies in their folder `objects`, from which reading them fills
the cache; where no cache can be written, they are read in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from air3d.scene3d.cache_folder import cache_places, writable_cache
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import GLOSS, Circle, Kind
from air3d.scene3d.symmetry import Symmetry

SCHEMA = "air3d-kind/1"
OBJECTS_FOLDER = "objects"
SHORT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_VARIANT = re.compile(r"[a-z]{1,16}~[0-9]{1,6}(~[0-9]{1,3})?")
_FULL_NAME = re.compile(rf"(?P<short>{SHORT_NAME.pattern}|{_VARIANT.pattern})@(?P<digest>[0-9a-f]{{12}})")
_MESHES = ("inference.obj", "display.obj")
_TEXTURES = {"texture.png": "", "inference.png": ".inference"}
SOLIDS = "solids.json"
_MAX_BYTES = 16 << 20
MAX_TEXTURE_SIDE = 2048
MAX_YAW_ORDER = 36
_OBJ_LINE = (
    rb"#.*|o [\w.]+|(v|vn)( -?\d{1,4}\.\d{1,9}){3}|vt( -?\d{1,4}\.\d{1,9}){2}"
    rb"|f( [1-9]\d{0,6}(/([1-9]\d{0,6})?){2}){3}"
)
_BAD_LINE = re.compile(rb"^(?!\Z)(?!(?:" + _OBJ_LINE + rb")$).*", re.MULTILINE)
_FACE = re.compile(rb"^f (.*)$", re.MULTILINE)


def is_own(name: str) -> bool:
    """Tell whether a name has the form of a full name, NAME@DIGEST."""
    return _FULL_NAME.fullmatch(name) is not None


def is_variant(name: str) -> bool:
    """Tell whether a name asks for a variant of a family: FAMILY~NUMBER, or FAMILY~NUMBER~PERCENT."""
    return _VARIANT.fullmatch(name) is not None


def family_of(name: str) -> str:
    """The family of a variant; of any other kind its name."""
    return name.partition("~")[0] if is_variant(short_name(name)) else name


def short_name(name: str) -> str:
    """The name that its user gave a kind, without the digest."""
    return name.partition("@")[0]


def cache_folder() -> Path | None:
    """The folder that keeps kinds: $AIR3D_OBJECTS, else `objects` in the cache folder; None if it cannot be written."""
    return writable_cache(OBJECTS_FOLDER, os.environ.get("AIR3D_OBJECTS"))


def own_kind(name: str) -> Kind:
    """Read the kind of a full name from the user's cache; its files are verified once in a process.

    Raises:
        InputError: if it is not there, or damaged.
    """
    return _find(name)[1]


def own_path(name: str, *parts: str) -> Path:
    """Find a file of the kind of a full name, for instance `own_path(name, "meshes", f"{name}.display.obj")`.

    Raises:
        InputError: if `own_kind` raises it.
    """
    return _find(name)[0].joinpath(*parts)


def install(kind: Kind, parts: Mapping[str, bytes]) -> str:
    """Put a kind into the user's cache; return its full name.

    Args:
        kind: the kind with its short name; `texture` is ignored.
        parts: the contents of "inference.obj", "display.obj" and, with a texture, "texture.png"; "inference.png"
            if inference has another; "solids.json" if there are bodies for collisions (`scene3d/objects/solids.py`).

    Raises:
        InputError: if no cache can be written.
    """
    text = json.dumps(_description(kind, parts), indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    name = f"{kind.name}@{_sha256(text)[:12]}"
    files = {_file(name, "kind.json"): text} | {_file(name, part): content for part, content in parts.items()}
    _renew(_writable_cache(), files)
    return name


def compact(name: str) -> str:
    """Make the kind of a full name anew with nothing but its inference level, which display then uses, too: what a
    model needs of it, in a fraction of the bytes. Return its full name.

    Raises:
        InputError: if it cannot be found, or no cache can be written.
    """
    _, kind, files = _find(name)
    parts = {part: files[path] for part in (*_MESHES, *_TEXTURES, SOLIDS) if (path := _file(name, part)) in files}
    parts["display.obj"] = parts["inference.obj"]
    if coarse := parts.pop("inference.png", None):
        parts["texture.png"] = coarse
    return install(replace(kind, name=short_name(name)), parts)


def adopt(folder: Path) -> tuple[str, ...]:
    """Make known every kind that a dataset, a model or an answer carries; return their full names, sorted.

    They are copied into the user's cache or, if that cannot be written, read from the folder by this process.

    Raises:
        InputError: if one is damaged.
    """
    source = folder / OBJECTS_FOLDER
    names = sorted(path.stem for path in source.glob("kinds/*.json") if is_own(path.stem))
    found = [_read(source, name)[1] for name in names]
    try:
        for files in found:
            _renew(_writable_cache(), files)
    except InputError:
        _read_in_place[source.absolute()] = None
    return tuple(names)


def packed(kinds: Iterable[str]) -> dict[str, bytes]:
    """Pack the files of the user's own kinds among these, to be sent to machines that do not know them.

    Raises:
        InputError: if one cannot be found.
    """
    return {path: data for name in filter(is_own, kinds) for path, data in _find(name)[2].items()}


def unpack(files: Mapping[str, bytes]) -> None:
    """Put the files that `packed` gave into this machine's cache, unless the kinds are known here.

    Raises:
        InputError: if no cache can be written.
    """
    try:
        known = packed(PurePosixPath(path).stem for path in files if path.startswith("kinds/"))
    except InputError:
        known = {}
    if files != known:
        _renew(_writable_cache(), files)


def keep(files: Mapping[str, bytes]) -> None:
    """Write files, by their paths, into the user's cache of kinds, each whole or not at all.

    Raises:
        InputError: if no cache can be written.
    """
    _write(_writable_cache(), files)


def carry(kinds: Iterable[str], folder: Path) -> None:
    """Copy the user's own kinds among these into a folder, so that it can be read anywhere.

    Files that are there and whole are kept, damaged ones replaced.

    Raises:
        InputError: if one cannot be found, or the folder cannot be written.
    """
    if files := packed(kinds):
        _renew(folder / OBJECTS_FOLDER, files)


# Folders whose kinds could not be copied into a cache, in the order in which they were read.
_read_in_place: dict[Path, None] = {}


def _writable_cache() -> Path:
    cache = cache_folder()
    if cache is None:
        first = cache_places(OBJECTS_FOLDER, os.environ.get("AIR3D_OBJECTS"))[0]
        raise InputError(
            f"cannot write '{first}', nor a temporary folder; set AIR3D_OBJECTS to a folder that you may write to"
        )
    return cache


def _find(name: str) -> tuple[Path, Kind, Mapping[str, bytes]]:
    """Find a kind that is whole: its place, the kind, and its files. A variant that is nowhere is made again.

    Raises:
        InputError: if it is nowhere, or damaged wherever it is.
    """
    found = _search(name)
    if isinstance(found, InputError) and is_variant(short_name(name)):
        from air3d.scene3d.families.variants import make_variant

        if make_variant(short_name(name)) == name:
            found = _search(name)
    if isinstance(found, InputError):
        raise found
    return found


def _search(name: str) -> tuple[Path, Kind, Mapping[str, bytes]] | InputError:
    """Look for a kind in all places; return the error if it is nowhere whole."""
    damage: InputError | None = None
    for root in (*cache_places(OBJECTS_FOLDER, os.environ.get("AIR3D_OBJECTS")), *_read_in_place):
        if os.path.exists(root / _file(name, "kind.json")):
            try:
                return (root, *_read(root, name))
            except InputError as error:
                damage = damage or error
    return damage or InputError(
        f"kind '{name}' is not on this machine: name the file it was made from with --objects, or read a "
        "dataset or model that carries it"
    )


@lru_cache(maxsize=512)
def _read(root: Path, name: str) -> tuple[Kind, Mapping[str, bytes]]:
    """Read a kind and its files, verified against its name. A name's kind never changes, so it may be cached."""
    short, digest = name.split("@")
    files = {_file(name, "kind.json"): _content(root / _file(name, "kind.json"))}
    text = files[_file(name, "kind.json")]
    where = root / _file(name, "kind.json")
    remedy = "copy it again, or make it again with --objects"
    if text is None or _sha256(text)[:12] != digest:
        raise InputError(f"{where}: damaged (its sha256 does not begin with {digest}); {remedy}")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("name") != short:
        raise InputError(f"{where}: not a kind called '{short}' of schema '{SCHEMA}'; {remedy}")
    sums = data.get("sha256")
    if not isinstance(sums, dict) or not set(_MESHES) <= sums.keys() <= {*_MESHES, *_TEXTURES, SOLIDS}:
        raise InputError(f"{where}: sha256 must name {', '.join(_MESHES)}")
    for part, wanted in sorted(sums.items()):
        content = _content(root / _file(name, part))
        if content is None or _sha256(content) != wanted:
            raise InputError(f"{root / _file(name, part)}: {'damaged' if content else 'missing'}; {remedy}")
        _check_part(root / _file(name, part), part, content)
        files[_file(name, part)] = content
    kept = {path: content for path, content in files.items() if content is not None}
    return _kind(name, data, str(where)), kept


def _description(kind: Kind, parts: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": kind.name,
        "colour": list(kind.colour),
        "height_m": kind.height_m,
        "footprint": [[c.x_m, c.y_m, c.radius_m] for c in kind.footprint],
        "yaw_order": kind.symmetry.yaw_order,
        "sha256": {part: _sha256(content) for part, content in parts.items()},
    } | _more(kind)


def _more(kind: Kind) -> dict[str, Any]:
    """Properties that only some kinds have are written for them alone, so that names of kinds made before stay."""
    more: dict[str, Any] = {} if kind.symmetry.group == "trivial" else {"group": kind.symmetry.group}
    more |= {"spherical": True} if kind.symmetry.spherical else {}
    more |= {} if kind.gloss == GLOSS else {"gloss": kind.gloss}
    return more if kind.drawn is None else more | {"drawn": kind.drawn}


def _kind(name: str, data: dict[str, Any], where: str) -> Kind:
    try:
        r, g, b = (float(v) for v in data["colour"])
        circles = tuple(Circle(float(x), float(y), float(radius)) for x, y, radius in data["footprint"])
        texture, coarse = (
            f"{name}{ending}.png" if part in data["sha256"] else None for part, ending in _TEXTURES.items()
        )
        kind = Kind(
            name=name,
            colour=(r, g, b),
            height_m=float(data["height_m"]),
            footprint=circles,
            symmetry=Symmetry(
                yaw_order=min(int(data["yaw_order"]), MAX_YAW_ORDER),
                group=str(data.get("group", "trivial")),
                spherical=data.get("spherical") is True,
            ),
            texture=texture,
            inference_texture=coarse,
            gloss=float(data.get("gloss", GLOSS)),
            drawn=_drawn(data),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: not the description of a kind ({error})") from None
    numbers = [*kind.colour, kind.height_m, kind.gloss, *(v for c in circles for v in (c.x_m, c.y_m, c.radius_m))]
    if not circles or not np.isfinite(numbers).all() or max(map(abs, numbers)) > 10.0 or len(circles) > 100:
        raise InputError(f"{where}: colour, height or footprint is out of range")
    return kind


def _drawn(data: dict[str, Any]) -> dict[str, Any] | None:
    drawn = data.get("drawn")
    if drawn is not None and not isinstance(drawn, dict):
        raise ValueError(f"drawn is {shown(drawn)}")
    return drawn


def _check_part(path: Path, part: str, content: bytes) -> None:
    """Raise InputError unless the compiler can take a file that came from elsewhere."""
    if part in _TEXTURES:
        try:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                side, other = image.size
        except Exception as error:
            raise InputError(f"{path}: not a PNG file ({error})") from None
        if side != other or side & (side - 1) or side > MAX_TEXTURE_SIDE:
            raise InputError(f"{path}: {side}x{other} pixels; a texture is square, its side a power of two")
        return
    if part == SOLIDS:
        _check_solids(path, content)
        return
    if bad := _BAD_LINE.search(content):
        raise InputError(f"{path}: unexpected line {shown(bad[0][:40].decode(errors='replace'))}")
    counts = [(b"\n" + content).count(b"\n" + key) for key in (b"v ", b"vt ", b"vn ")]
    faces = b" ".join(_FACE.findall(content)).replace(b"//", b"/0/").replace(b"/ ", b"/0 ")
    corners = np.array((faces + b"0" * faces.endswith(b"/")).replace(b"/", b" ").split(), dtype=np.int64)
    if not corners.size or (corners.reshape(-1, 3).max(axis=0) > counts).any():
        raise InputError(f"{path}: a face names a corner that is not there")


def _check_solids(path: Path, content: bytes) -> None:
    """Raise InputError unless a file lists bodies for collisions, whose numbers are finite."""
    try:
        data = json.loads(content)
        assert data["schema"] == "air3d-solids/1"
        for solid in data["solids"]:
            lengths = {"points_m": 3} if solid["kind"] == "hull" else {"position_m": 3, "size_m": 3, "rotation_wxyz": 4}
            assert solid["kind"] in ("hull", "box", "sphere", "ellipsoid", "cylinder", "capsule")
            numbers = {key: np.asarray(solid[key], dtype=np.float64) for key in lengths}
            assert all(numbers[key].shape[-1] == n and np.isfinite(numbers[key]).all() for key, n in lengths.items())
    except (AssertionError, ValueError, TypeError, KeyError, IndexError, RecursionError):
        raise InputError(f"{path}: not a list of bodies for collisions") from None


def _file(name: str, part: str) -> str:
    if part in ("kind.json", SOLIDS):
        return f"kinds/{name}.json" if part == "kind.json" else f"solids/{name}.json"
    return f"textures/{name}{_TEXTURES[part]}.png" if part in _TEXTURES else f"meshes/{name}.{part}"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size <= _MAX_BYTES else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _renew(root: Path, files: Mapping[str, bytes]) -> None:
    _write(root, {path: data for path, data in files.items() if _content(root / path) != data})


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    """Write files, the description last: each appears whole, and none is described before it is there."""
    for path in sorted(files, key=lambda path: path.startswith("kinds/")):
        target = root / path
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(files[path])
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise InputError(
                f"cannot write '{target}': {error.strerror or error}; choose another folder, or set "
                "AIR3D_OBJECTS to one that you may write to"
            ) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
