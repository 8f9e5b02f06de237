"""Make MuJoCo able to draw here: look for OpenGL, install the system packages where we may, else fall back to Warp.

Run by `make setup` with the environment's Python. Lack of OpenGL is never an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from air3d.renderers.probe import GL_PACKAGES, GlProbe, forget, probe_gl, probe_warp

# The second choice, and gone from newer releases.
OSMESA_PACKAGES = ("libosmesa6",)
APT_TIMEOUT_S = 300


def main() -> None:
    """Try OpenGL; install packages and try again; else install MuJoCo Warp."""
    gl = probe_gl()
    if gl.platform is None and _may_install(gl):
        for packages in (GL_PACKAGES, OSMESA_PACKAGES):
            print(f"air3d: no OpenGL ({gl.error}); installing {' '.join(packages)}", flush=True)
            _install(packages)
            forget()
            gl = probe_gl()
            if gl.platform is not None:
                break
    if gl.platform is not None:
        print(f"air3d: OpenGL by {gl.platform.upper()}, {'software' if gl.software else 'hardware'}: {gl.renderer}")
        return
    print(
        f"air3d: no OpenGL ({gl.error}): {_advice(gl)}; until then display pictures are drawn by MuJoCo Warp, slower",
        flush=True,
    )
    if not probe_warp().devices:
        _install_warp()
        forget()
    warp = probe_warp()
    print(
        f"air3d: MuJoCo Warp draws on {', '.join(warp.devices)}" if warp.devices else f"air3d: no Warp: {warp.reason}"
    )


def _by_setting(gl: GlProbe) -> bool:
    return gl.error is not None and gl.error.startswith("MUJOCO_GL=")


def _advice(gl: GlProbe) -> str:
    if _by_setting(gl):
        return "unset MUJOCO_GL"
    return f"let an administrator run 'apt-get install {' '.join(GL_PACKAGES)}'"


def _may_install(gl: GlProbe) -> bool:
    return not _by_setting(gl) and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(packages: tuple[str, ...]) -> None:
    if _apt("install", *packages):
        return
    _apt("update")  # the package lists may be old or absent
    if not _apt("install", *packages):
        for package in packages:  # one that a release lacks must not hold back the others
            _apt("install", package)


def _apt(verb: str, *packages: str) -> bool:
    options = ["--no-install-recommends"] if verb == "install" else []
    try:
        done = subprocess.run(
            ["apt-get", verb, "-y", "-q", *options, *packages],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=APT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _install_warp() -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    root = Path(__file__).resolve().parent.parent
    subprocess.run([*pip, "-c", "constraints.txt", "-e", ".[warp]"], cwd=root, check=False)


if __name__ == "__main__":
    main()
