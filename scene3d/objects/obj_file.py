"""Reads Wavefront OBJ files in their many dialects, and the MTL files that they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from air3d.scene3d.errors import shown
from air3d.scene3d.objects.found_file import found_file
from air3d.scene3d.objects.raw_mesh import Material, Picture, Polygons, UnreadableError, painted_over, unmarked

_MAX_MTL_BYTES = 16 << 20
# Where collections keep their pictures, whatever their material files say.
_TEXTURE_FOLDERS = ("textures", "../textures", "../materials/textures")
_COMMENT = re.compile(r"(?:^|\s)#.*")
# Options before the file's name in a line such as "map_Kd -s 2 2 1 -clamp on wood.png".
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_OPTION = re.compile(
    rf"\s*-(?P<key>o|s|t|mm|bm|boost|texres|blendu|blendv|clamp|cc|imfchan|type)\s+"
    rf"(?P<value>(?:{_NUMBER}(?:\s+{_NUMBER}){{0,2}}|\S+))(?=\s)"
)


class _Texture(NamedTuple):
    """A material, and how its options move texture coordinates: uv * scale + shift."""

    material: Material
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)


def lines_of(data: bytes) -> list[str]:
    """Read the lines of a text file; a final backslash joins a line to the next. File names survive any encoding."""
    text = unmarked(data).decode("utf-8", "surrogateescape")
    return re.split(r"\r\n|\n|\r", re.sub(r"\\[ \t]*(?:\r\n|\n|\r)", " ", text))


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        # Flat lists: a file may have a million of each.
        self._points: list[float] = []
        self._uvs: list[float] = []
        self._seen: dict[str, tuple[int, int]] = {}
        self._sizes: list[int] = []
        self._corners: list[int] = []
        self._corner_uvs: list[int] = []
        self._material: list[int] = []
        self._used: dict[str | None, int] = {None: 0}
        self._library: dict[str, _Texture] = {}
        self._problem = ""
        self._colours: list[float] = []
        self._curved = False

    def read(self, lines: list[str]) -> Polygons:
        current = 0
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0][0] == "#":
                continue
            key = words[0].lower()
            try:
                if key in ("v", "vt", "f", "fo"):
                    if "#" in line:
                        words = _COMMENT.sub("", line).split()
                    self._line(key, words[1:], current)
                elif key == "usemtl":
                    current = self._used.setdefault(_rest(line), len(self._used))
                elif key == "mtllib":
                    self._load(_rest(line))
                elif key in ("surf", "curv", "cstype"):
                    self._curved = True
            except UnreadableError:  # of the material file
                raise
            except (ValueError, IndexError, OverflowError):
                raise UnreadableError(f"has a line {number} that cannot be read: {shown(' '.join(words))}") from None
        return self._polygons()

    def _line(self, key: str, words: list[str], current: int) -> None:
        if key == "v":
            numbers = [float(word) for word in words]
            if len(numbers) < 3:
                raise ValueError
            if len(numbers) >= 6:  # no standard, but what scanners' programs write
                self._colours += [1.0] * (len(self._points) - len(self._colours)) + numbers[3:6]
            self._points += numbers[:3]
        elif key == "vt":
            numbers = [float(word) for word in words]
            self._uvs += (numbers[0], numbers[1] if len(numbers) > 1 else 0.0)
        elif len(words) >= 3:
            for word in words:
                corner = self._seen.get(word) or self._corner(word)
                self._corners.append(corner[0])
                self._corner_uvs.append(corner[1])
            self._sizes.append(len(words))
            self._material.append(current)

    def _corner(self, word: str) -> tuple[int, int]:
        """Read a face's corner such as 7/5/3: its rows among vertices and texture coordinates (-1 for none)."""
        at, _, rest = word.partition("/")
        uv = rest.partition("/")[0]
        found = _row(int(at), len(self._points) // 3), _row(int(uv), len(self._uvs) // 2) if uv else -1
        if "-" not in word:
            self._seen[word] = found
        return found

    def _texture(self, name: str | None) -> _Texture:
        found = self._library.get(name or "", self._library.get((name or "").casefold()))
        if name is None or found is not None:
            return found or _Texture(Material())
        problem = self._problem or f"{self._path.name} uses material {shown(name)}, which no mtllib describes"
        return _Texture(Material(name, problem=problem))

    def _load(self, names: str) -> None:
        file = found_file(names, [self._path.parent])
        files = {names: file}
        if file is None:  # several, perhaps with blanks in their names
            words = re.findall(r"\"[^\"]+\"|.+?\.mtl(?=\s|$)|\S+", names, re.IGNORECASE)
            files = {word: found_file(word, [self._path.parent]) for word in words}
        for name, path in files.items():
            if path is None:
                self._problem = (
                    f"{self._path.name} names the material file {shown(name.strip())}; there is no such file in "
                    f"{self._path.parent}"
                )
            else:
                self._library |= {key: value for key, value in _materials(path).items() if key not in self._library}

    def _polygons(self) -> Polygons:
        corners, uv_rows = np.array(self._corners, np.int64), np.array(self._corner_uvs, np.int64)
        if self._curved and not len(corners):
            raise UnreadableError("holds curved surfaces (NURBS), no polygons; convert them into a mesh first")
        for rows, there, what in (
            (corners, len(self._points) // 3, "vertices"),
            (uv_rows, len(self._uvs) // 2, "vt lines"),
        ):
            if len(rows) and rows.max() >= there:
                raise UnreadableError(f"has a face with corner {rows.max() + 1}, of {there} {what}: damaged or cut off")
        textures = [self._texture(name) for name in self._used]
        uvs = None
        if (uv_rows >= 0).any():
            table = np.array([*self._uvs, np.nan, np.nan]).reshape(-1, 2)
            of_corner = np.repeat(np.array(self._material, np.int64), self._sizes)
            scale = np.array([texture.scale for texture in textures])[of_corner]
            uvs = table[uv_rows] * scale + np.array([texture.shift for texture in textures])[of_corner]
        tints = np.ones((len(self._points) // 3, 3))
        tints.reshape(-1)[: len(self._colours)] = self._colours
        material, materials = np.array(self._material, np.int64), [texture.material for texture in textures]
        colours = painted_over(tints[corners], np.repeat(material, self._sizes), materials) if self._colours else None
        return Polygons(
            points=np.array(self._points, dtype=np.float64).reshape(-1, 3),
            sizes=np.array(self._sizes, np.int64),
            corners=corners,
            uvs=uvs,
            material=material,
            materials=materials,
            notes=[],
            colours=colours,
        )


def read_obj(data: bytes, path: Path) -> Polygons:
    """Read the polygons of an OBJ file.

    Raises:
        UnreadableError: if a line cannot be read, or a face names something that is not there.
    """
    return _Reader(path).read(lines_of(data))


def _row(number: int, count: int) -> int:
    """Turn a number that counts from one, or backwards from the last line above, into a row."""
    row = number - 1 if number > 0 else count + number
    if number == 0 or row < 0:
        raise ValueError
    return row


def _rest(line: str) -> str:
    """The rest of a line after the keyword: a name, perhaps with blanks."""
    words = line.split(None, 1)
    return _COMMENT.sub("", words[1]).strip() if len(words) > 1 else ""


def _materials(path: Path) -> dict[str, _Texture]:
    """Read materials by name, and by name in small letters."""
    if path.stat().st_size > _MAX_MTL_BYTES:
        raise UnreadableError(f"names the material file {path.name}, which is too large")
    found: dict[str, _Texture] = {}
    name = ""
    for line in lines_of(path.read_bytes()):
        words = line.split()
        key = words[0].lower() if words else ""
        texture = found.get(name)
        if key == "newmtl":
            name = _rest(line)
            found.setdefault(name, _Texture(Material(name)))
        elif texture is not None and key in ("kd", "d"):
            material = texture.material
            numbers = _numbers(words[1:4])
            if key == "kd" and numbers:
                material = material._replace(colour=(numbers[0], numbers[1 % len(numbers)], numbers[-1]))
            elif numbers and numbers[0] < 1.0:
                material = material._replace(clear=True)
            found[name] = texture._replace(material=material)
        elif texture is not None and key == "map_kd":
            found[name] = _textured(texture, line.split(None, 1)[1] if len(words) > 1 else "", path)
    return {key.casefold(): value for key, value in found.items()} | found


def _numbers(words: list[str]) -> list[float]:
    try:
        return [min(max(0.0, float(word)), 1.0) for word in words]  # in this order NaN is 0
    except ValueError:  # "spectral", "-halo": of no use here
        return []


def _textured(texture: _Texture, text: str, mtl: Path) -> _Texture:
    """Read a picture's line: options, then its name. It replaces the colour Kd, which exporters leave at anything."""
    scale, shift, wrap = [1.0, 1.0], [0.0, 0.0], "repeat"
    while option := _OPTION.match(text):
        text = text[option.end() :]
        values = option["value"].split()
        if option["key"] in "os":
            target = shift if option["key"] == "o" else scale
            try:
                target[: len(values[:2])] = [float(value) for value in values[:2]]
            except ValueError:
                raise UnreadableError(
                    f"names the material file {mtl.name}, where -{option['key']} of {shown(texture.material.name)} is "
                    f"{shown(option['value'])}, no number"
                ) from None
        elif option["key"] == "clamp" and values[0].lower() == "on":
            wrap = "clamp"
    name = text.strip()
    if not name:
        return texture
    folders = [mtl.parent, *(mtl.parent / place for place in _TEXTURE_FOLDERS)]
    file = found_file(name, folders) or found_file(_COMMENT.sub("", name), folders)
    material = texture.material
    if file is None:
        problem = f"{mtl.name} names {shown(name)} (map_Kd of {shown(material.name)}); there is no such file"
        material = material._replace(problem=f"{problem} seen from {mtl.parent}")
    else:
        material = material._replace(picture=Picture(file, str(file), (wrap, wrap)), problem="")
    return _Texture(material, (scale[0], scale[1]), (shift[0], shift[1]))
