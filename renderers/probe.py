"""Finds what this machine can render with: OpenGL platforms, MuJoCo Warp devices, CUDA. Each try is a subprocess.

A broken driver hangs or kills the process that tries it, so nothing is tried in this one; answers are kept for the
life of the process. `python -m air3d.renderers.probe egl` (or `osmesa`, `warp`, `cuda`) makes one attempt and prints
JSON.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal, cast

from air3d.scene3d.errors import InputError

Platform = Literal["egl", "osmesa"]

PLATFORMS: tuple[Platform, ...] = ("egl", "osmesa")
TIMEOUT_S = 20.0
PYOPENGL = "PYOPENGL_PLATFORM"
_LONGEST = 300

GL_PACKAGES = ("libegl1", "libopengl0", "libgl1-mesa-dri")
"""The smallest set of Debian's and Ubuntu's packages for a software OpenGL on EGL."""

# What MuJoCo accepts in MUJOCO_GL beside the headless platforms.
_MUJOCO_GL_ANY = ("", "1", "true", "on", "enable", "enabled")
_MUJOCO_GL_OFF = ("0", "false", "off", "disable", "disabled")
_MUJOCO_GL_SCREEN = ("glfw", "glx")
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader", "software")
_MARK = "air3d-probe:"


@dataclass(frozen=True)
class GlProbe:
    """The first OpenGL platform that drew a frame.

    Attributes:
        platform: the name of the platform; None if none works.
        vendor, renderer, version: the strings that OpenGL gives; empty if no platform works.
        software: whether the CPU draws.
        error: a line that says why the platforms tried before `platform` failed (all, if it is None); else None.
    """

    platform: Platform | None
    vendor: str = ""
    renderer: str = ""
    version: str = ""
    software: bool = False
    error: str | None = None


@dataclass(frozen=True)
class DeviceProbe:
    """Devices of Warp or CUDA: names, or the reason why there is none (one line)."""

    devices: tuple[str, ...] = ()
    reason: str | None = None


def requested_platform() -> Platform | None:
    """The headless platform that the variable MUJOCO_GL asks for, or None if it leaves the choice open.

    Raises:
        InputError: if MUJOCO_GL is unknown to MuJoCo, switches OpenGL off or needs a screen.
    """
    value = os.environ.get("MUJOCO_GL", "").lower().strip()
    if value in _MUJOCO_GL_ANY:
        return None
    if value in PLATFORMS:
        return value
    if value in _MUJOCO_GL_OFF:
        raise InputError(f"MUJOCO_GL={value} switches OpenGL off; unset it to render with OpenGL")
    if value in _MUJOCO_GL_SCREEN:
        raise InputError(f"MUJOCO_GL={value} needs a screen; air3d draws off screen: unset it, or use egl or osmesa")
    raise InputError(f"MUJOCO_GL={value} is no OpenGL platform of MuJoCo; unset it, or use egl or osmesa")


def check_mujoco_importable() -> None:
    """Find in advance the values of MUJOCO_GL which make `import mujoco` itself fail.

    Raises:
        InputError: if MUJOCO_GL is unknown to MuJoCo, names OSMesa where its library is missing, or another platform
            than PYOPENGL_PLATFORM.
    """
    value = os.environ.get("MUJOCO_GL", "").lower().strip()
    if value not in (*_MUJOCO_GL_ANY, *_MUJOCO_GL_OFF, *_MUJOCO_GL_SCREEN):
        requested_platform()
    if value in PLATFORMS and (reason := _other_pyopengl(value)) is not None:
        raise InputError(f"MUJOCO_GL={value}, but {reason}")
    if value == "osmesa" and not _library_loads("OSMesa"):
        raise InputError("MUJOCO_GL=osmesa, but the library OSMesa is not installed; unset it, or install libosmesa6")


def probe_gl(timeout_s: float = TIMEOUT_S, platforms: tuple[Platform, ...] = PLATFORMS) -> GlProbe:
    """Try the platforms in order, each by drawing one MuJoCo frame in a subprocess.

    If MUJOCO_GL names a platform, that one alone is tried. Never raises for lack of OpenGL.

    Args:
        timeout_s: how long one attempt may take, seconds.
        platforms: the platforms to try, best first.
    """
    try:
        requested = requested_platform()
    except InputError as error:
        return GlProbe(None, error=str(error))
    return _probe_gl(timeout_s, platforms if requested is None else (requested,))


@functools.cache
def _probe_gl(timeout_s: float, platforms: tuple[Platform, ...]) -> GlProbe:
    errors: list[str] = []
    for platform in platforms:
        if (reason := _other_pyopengl(platform)) is not None:
            errors.append(f"{platform}: {reason}")
            continue
        answer = _attempt(platform, timeout_s, {"MUJOCO_GL": platform})
        if "error" not in answer:
            return GlProbe(platform=platform, error="; ".join(errors) or None, **answer)
        errors.append(f"{platform}: {answer['error']}")
    return GlProbe(None, error="; ".join(errors) or "no platform to try")


def _other_pyopengl(platform: str) -> str | None:
    """Say why PyOpenGL, which MuJoCo uses, will not work with a platform; None if its variable allows it."""
    value = os.environ.get(PYOPENGL, "")
    return None if value.lower() in ("", platform) else f"{PYOPENGL}={value} rules it out; unset {PYOPENGL}"


@functools.cache
def probe_warp(timeout_s: float = TIMEOUT_S) -> DeviceProbe:
    """Find the devices that MuJoCo Warp can use; it is imported in a subprocess, and only if it is installed."""
    missing = [package for package in ("warp", "mujoco_warp") if importlib.util.find_spec(package) is None]
    if missing:
        return DeviceProbe(reason=f"not installed: {', '.join(missing)}")
    return _devices(_attempt("warp", timeout_s, {}))


@functools.cache
def probe_cuda(timeout_s: float = TIMEOUT_S) -> DeviceProbe:
    """Find the GPUs that the CUDA driver offers; the driver is asked, not torch."""
    return _devices(_attempt("cuda", timeout_s, {}))


def forget() -> None:
    """Forget earlier answers, for instance after something was installed."""
    for cached in (_probe_gl, probe_warp, probe_cuda):
        cached.cache_clear()
    importlib.invalidate_caches()


def cuda_driver_loads() -> bool:
    """Tell whether there is a CUDA driver at all; quick, so that machines without one need not be probed further."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _devices(answer: dict[str, Any]) -> DeviceProbe:
    return DeviceProbe(reason=answer["error"]) if "error" in answer else DeviceProbe(tuple(answer["devices"]))


def _attempt(name: str, timeout_s: float, env: dict[str, str]) -> dict[str, Any]:
    """Run this module for one attempt; return its answer, or {"error": one line}."""
    # Not `-m`: the working directory may hold another air3d.
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = f"import sys; sys.path.insert(0, {root!r}); from air3d.renderers.probe import main; main({name!r})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **env},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {timeout_s:g} s"}
    except OSError as error:
        return {"error": _one_line(error)}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(_MARK):
            return cast(dict[str, Any], json.loads(line.removeprefix(_MARK)))
    if done.returncode < 0:
        return {"error": f"the attempt died of signal {-done.returncode}"}
    last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    return {"error": f"the attempt ended with code {done.returncode}: {last[0]}"}


def main(name: str) -> None:
    """Make one attempt in this process and print its answer as JSON; for the subprocess."""
    attempts = {"egl": _draw, "osmesa": _draw, "warp": _list_warp, "cuda": _list_cuda}
    try:
        if name in PLATFORMS:
            os.environ["MUJOCO_GL"] = name
        answer = attempts[name]()
    except Exception as error:
        answer = {"error": _one_line(error)}
    print(_MARK + json.dumps(answer), flush=True)
    # Some drivers crash in their exit handlers; the answer is out.
    os._exit(0)


def _draw() -> dict[str, Any]:
    """Draw a white box in front of nothing with MUJOCO_GL's platform and look at the pixels."""
    platform = os.environ["MUJOCO_GL"]
    library = {"egl": "EGL", "osmesa": "OSMesa"}[platform]
    if not _library_loads(library):
        return {"error": f"the library {library} is not installed"}
    import mujoco

    world = "<geom type='box' size='1 1 1'/><light pos='0 0 9' dir='0 0 -1'/>"
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{world}</worldbody></mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 32, 32) as renderer:
        renderer.update_scene(data)
        image = renderer.render()
        from OpenGL import GL

        names = {"vendor": GL.GL_VENDOR, "renderer": GL.GL_RENDERER, "version": GL.GL_VERSION}
        strings = {key: (GL.glGetString(name) or b"").decode(errors="replace") for key, name in names.items()}
    if int(image.max()) - int(image.min()) < 16:
        return {"error": f"{strings['renderer'] or platform} drew an empty frame"}
    software = platform == "osmesa" or any(word in strings["renderer"].lower() for word in _SOFTWARE)
    return {**strings, "software": software}


def _library_loads(name: str) -> bool:
    """Tell whether PyOpenGL, which tries these names, would find the library."""
    for file in (f"lib{name}.so", *(f"lib{name}.so.{major}" for major in range(10))):
        try:
            ctypes.CDLL(file)
        except OSError:
            continue
        return True
    return False


def _list_warp() -> dict[str, Any]:
    import mujoco_warp  # noqa: F401  a broken installation shows here
    import warp

    return {"devices": [str(device) for device in warp.get_devices()]}


def _list_cuda() -> dict[str, Any]:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return {"error": "no CUDA driver"}
    count = ctypes.c_int()
    for code in (driver.cuInit(0), driver.cuDeviceGetCount(ctypes.byref(count))):
        if code:
            return {"error": f"the CUDA driver answers with error {code}"}
    names = []
    for index in range(count.value):
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        driver.cuDeviceGet(ctypes.byref(device), index)
        driver.cuDeviceGetName(name, 256, device)
        names.append(name.value.decode(errors="replace"))
    return {"devices": names} if names else {"error": "the CUDA driver sees no GPU"}


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1])
