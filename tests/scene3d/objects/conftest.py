"""Meshes made by trimesh, whose properties are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimesh

from air3d.scene3d.objects.description import ObjectDescription, read_descriptions

Describe = Callable[..., ObjectDescription]


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    """`describe(mesh, suffix=".stl", **keys)`: write a mesh and a TOML file beside it, and read that."""

    def write(mesh: Any, suffix: str = ".stl", **keys: object) -> ObjectDescription:
        file = tmp_path / f"thing{suffix}"
        if isinstance(mesh, trimesh.Trimesh):
            mesh.export(file)
        else:
            file.write_bytes(mesh)
        chosen = {"mesh": file.name, "scale": 1.0, "colour": "#8090a0"} | keys
        if "height_m" in keys or "longest_m" in keys:
            del chosen["scale"]
        lines = [f"{key} = {value!r}" for key, value in chosen.items() if value is not None]
        (tmp_path / "objects.toml").write_text("[thing]\n" + "\n".join(lines) + "\n")
        return read_descriptions(tmp_path / "objects.toml")["thing"]

    return write
