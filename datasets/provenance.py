"""Records how a result was made: versions, commit and machine, for reports and shipped weights."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import air3d
from air3d.datasets.manifest import Manifest

_PACKAGES = ("mujoco", "torch", "numpy")


def provenance() -> dict[str, str]:
    """Versions, commit (if this is a checkout) and machine."""
    facts = {"air3d": air3d.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    facts["commit"] = _commit()
    facts["machine"] = f"{platform.machine()}, {os.cpu_count()} cores"
    return facts


def data_facts(manifest: Manifest[Any]) -> dict[str, Any]:
    """The facts that tell a dataset from any other: the digest of its settings, its seed, its number of samples."""
    config = manifest.config
    return {"config_sha256": manifest.config_sha256, "seed": config.seed, "num": config.num}


def _commit() -> str:
    folder = Path(__file__).resolve().parent.parent
    try:
        head = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown (not a git checkout)"
    return head.stdout.strip()
