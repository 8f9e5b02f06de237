"""`air3d doctor`: what this machine has, which renderer `auto` chooses, and what to do about each lack."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import air3d
from air3d.renderers.probe import (
    GL_PACKAGES,
    PYOPENGL,
    DeviceProbe,
    GlProbe,
    check_mujoco_importable,
    probe_cuda,
    probe_gl,
    probe_warp,
)
from air3d.scene3d.assets import asset_path
from air3d.scene3d.cache_folder import cache_places, refusal, user_cache, writable_cache
from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import OBJECTS_FOLDER

PACKAGES = (
    "mujoco",
    "torch",
    "numpy",
    "numba",
    "scipy",
    "pillow",
    "matplotlib",
    "safetensors",
    "cattrs",
    "tyro",
    "rich",
)
WARP_PACKAGES = ("mujoco-warp", "warp-lang")


@dataclass(frozen=True)
class Args:
    """Say what this machine can render with, and what to do about each lack.

    Example: air3d doctor.
    """

    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        name: the thing that was looked at.
        found: a line that says what is there.
        state: "ok", "lack" (something works less well, or not at all) or "fatal" (nothing can render).
        remedy: a line that says what to do; empty where nothing needs doing.
    """

    name: str
    found: str
    state: str = "ok"
    remedy: str = ""


@dataclass(frozen=True)
class AutoRenderer:
    """The backend that `--renderer auto` takes for one purpose; None if nothing can draw it."""

    backend: str | None
    reason: str
    slow: bool = False


@dataclass(frozen=True)
class Report:
    """Everything that the doctor found."""

    air3d: str
    python: str
    system: str
    cpu_cores: int
    packages: dict[str, str | None]
    gl: GlProbe
    warp: DeviceProbe
    cuda: DeviceProbe
    renderer: AutoRenderer
    reference: AutoRenderer
    findings: tuple[Finding, ...]


def run(args: Args) -> int:
    """Print the report; return 0, or 1 if nothing can render here."""
    if args.json:
        report = examine()
        print(json.dumps(asdict(report), indent=2))  # noqa: T201
    else:
        console = Console()
        with console.status("looking at this machine"):
            report = examine()
        console.print(_table(report.findings))
    return 0 if report.renderer.backend is not None else 1


def examine() -> Report:
    """Look at this machine. Takes about a second: OpenGL, Warp and CUDA are each tried in a subprocess."""
    packages = {name: _version(name) for name in PACKAGES + WARP_PACKAGES}
    gl, warp, cuda = probe_gl(), probe_warp(), probe_cuda()
    renderer, reference = _auto_renderer(reference=False), _auto_renderer(reference=True)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1)
    python, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    findings = (
        Finding("python", f"{python} on {system}"),
        Finding("air3d", f"{air3d.__version__} in {os.path.dirname(os.path.dirname(os.path.abspath(air3d.__file__)))}"),
        *(_package(name, packages[name]) for name in PACKAGES),
        *_assets(),
        _gl(gl, bool(warp.devices)),
        _warp(warp, packages, gl),
        _cuda(cuda, packages["torch"]),
        Finding("CPU cores", str(cores)),
        *_caches(),
        _renderer("to learn and infer", renderer, "fatal"),
        _renderer("display pictures", reference, "lack"),
    )
    return Report(air3d.__version__, python, system, cores, packages, gl, warp, cuda, renderer, reference, findings)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str, version: str | None) -> Finding:
    if version is None:
        return Finding(name, "not installed", "lack", f"pip install {name}, or 'make setup' in a checkout")
    return Finding(name, version)


def _assets() -> tuple[Finding, ...]:
    try:
        asset_path("meshes")
    except InputError as error:
        return (Finding("assets", "no meshes", "lack", str(error).split("; ")[-1]),)
    return ()


def _caches() -> tuple[Finding, ...]:
    found = [_cache("cache", "", None, "XDG_CACHE_HOME")]
    if named := os.environ.get("AIR3D_OBJECTS"):
        found.append(_cache("own kinds", OBJECTS_FOLDER, named, "AIR3D_OBJECTS"))
    return tuple(found)


def _cache(title: str, name: str, named: str | None, variable: str) -> Finding:
    wanted, folder = cache_places(name, named)[0], writable_cache(name, named)
    why = "you have no home" if user_cache() is None and not named else f"{wanted}: {refusal(wanted)}"
    remedy = f"set {variable} to a folder that you may write to"
    if folder is None:
        lost = "each command compiles its loops anew, and own kinds cannot be made"
        return Finding(title, f"none ({why}): {lost}", "lack", remedy)
    if folder == wanted and not why.startswith("you"):
        return Finding(title, str(folder))
    return Finding(title, f"{folder} ({why})", "ok", f"works; {remedy}, and it is not lost with temporary files")


def _gl(gl: GlProbe, warp_works: bool) -> Finding:
    setting = f" (MUJOCO_GL={value})" if (value := os.environ.get("MUJOCO_GL")) else ""
    if gl.platform is None:
        if gl.error is not None and gl.error.startswith("MUJOCO_GL="):
            remedy = "unset MUJOCO_GL"
        elif PYOPENGL in (gl.error or ""):
            remedy = f"unset {PYOPENGL}"
        else:
            remedy = f"apt-get install {' '.join(GL_PACKAGES)} (Debian, Ubuntu), or the GPU's own driver"
        remedy += "; until then MuJoCo Warp draws, slower" if warp_works else ""
        return Finding("OpenGL", f"none{setting}: {gl.error}", "lack", remedy)
    kind = "software" if gl.software else "hardware"
    found = f"{gl.platform.upper()}{setting}, {kind}: {gl.renderer}; {gl.vendor}; {gl.version}"
    if gl.software:
        return Finding("OpenGL", found, "ok", "works; a GPU's own driver would draw faster")
    return Finding("OpenGL", found)


def _warp(warp: DeviceProbe, packages: dict[str, str | None], gl: GlProbe) -> Finding:
    if warp.devices:
        versions = ", ".join(f"{name} {packages[name]}" for name in WARP_PACKAGES)
        return Finding("MuJoCo Warp", f"{', '.join(warp.devices)} ({versions})")
    needed = "needs no OpenGL" if gl.platform is None else "only wanted without OpenGL or with a CUDA GPU"
    state = "lack" if gl.platform is None else "ok"
    return Finding("MuJoCo Warp", f"none: {warp.reason}", state, f"pip install 'air3d[warp]': {needed}")


def _cuda(cuda: DeviceProbe, torch: str | None) -> Finding:
    if not cuda.devices:
        return Finding("CUDA", f"none: {cuda.reason}", "ok", "nothing: training runs on the CPU")
    if torch is not None and torch.endswith("+cpu"):
        return Finding("CUDA", ", ".join(cuda.devices), "lack", f"torch {torch} cannot use it: install a CUDA build")
    return Finding("CUDA", ", ".join(cuda.devices))


def _auto_renderer(reference: bool) -> AutoRenderer:
    """Find the backend that draws inference detail, or display detail if `reference`."""
    try:
        check_mujoco_importable()
        from air3d.renderers.choice import choose_backend

        choice = choose_backend("display", reference=True) if reference else choose_backend()
    except (InputError, ImportError) as error:
        return AutoRenderer(None, str(error))
    return AutoRenderer(choice.backend, choice.reason, choice.slow)


def _renderer(purpose: str, renderer: AutoRenderer, worst: str) -> Finding:
    if renderer.backend is None:
        return Finding(purpose, f"none: {renderer.reason}", worst, "make OpenGL or MuJoCo Warp work, see above")
    if renderer.slow:
        return Finding(purpose, f"{renderer.backend} (slow): {renderer.reason}", "lack", "make OpenGL work, see above")
    return Finding(purpose, f"{renderer.backend}: {renderer.reason}")


def _table(findings: tuple[Finding, ...]) -> Table:
    table = Table(title="air3d doctor")
    table.add_column("", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    marks = {"ok": "[green]ok[/green]", "lack": "[yellow]!![/yellow]", "fatal": "[red]XX[/red]"}
    for finding in findings:
        table.add_row(marks[finding.state], finding.name, escape(finding.found), escape(finding.remedy))
    return table
