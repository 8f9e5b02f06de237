"""Writes every mesh and texture of the catalog: `python -m air3d.scene3d.meshes.build [--out assets]`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from air3d.scene3d.errors import InputError
from air3d.scene3d.families.crockery import FAMILIES
from air3d.scene3d.meshes.obj import obj_text
from air3d.scene3d.meshes.primitives import PRIMITIVE_BUILDERS
from air3d.scene3d.meshes.surface import DETAILS, Mesh, Resolution
from air3d.scene3d.meshes.table import PLANKS, bin_plank, disc, plank, square, square_plank, whole_bin
from air3d.scene3d.meshes.textures import cylinder_texture, table_texture


def meshes() -> Iterator[tuple[str, Mesh]]:
    """Make every mesh with its name, `<kind>.<detail>`, in a fixed order."""
    builders: dict[str, Callable[[Resolution], Mesh]] = {kind: family().mesh for kind, family in FAMILIES.items()}
    for kind, builder in (builders | PRIMITIVE_BUILDERS).items():
        for name, detail in DETAILS.items():
            yield f"{kind}.{name}", builder(detail)
    for index in range(PLANKS):
        yield f"table_plank_{index}.inference", plank(index)
    yield "table.display", disc()
    for index in range(PLANKS):
        yield f"square_table_plank_{index}.inference", square_plank(index)
    yield "square_table.display", square()
    for index in range(PLANKS):
        yield f"bin_plank_{index}.inference", bin_plank(index)
    yield "bin.display", whole_bin()


def files() -> Iterator[tuple[str, bytes]]:
    """Make every file: its path inside the assets folder, and its content."""
    for name, mesh in meshes():
        yield f"meshes/{name}.obj", obj_text(mesh, name).encode("ascii")
    yield "textures/cylinder.png", _png(cylinder_texture())
    yield "textures/table.png", _png(table_texture())


def build(out: Path) -> list[Path]:
    """Write all files under `out`, each under a temporary name first; return their paths.

    Raises:
        InputError: if `out` cannot be written.
    """
    written = []
    for name, content in files():
        path = out / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except OSError as error:
            raise InputError(f"cannot write '{path}': {error.strerror}; name a folder you may write to") from error
        written.append(path)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: write the files, print a line for each, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m air3d.scene3d.meshes.build", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("assets"), help="the assets folder (default: assets)")
    try:
        paths = build(parser.parse_args(arguments).out)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{path}  {path.stat().st_size} bytes\n" for path in paths)
    return 0


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=9)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
