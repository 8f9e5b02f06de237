"""The doctor: complete, honest about lacks, and never in the way of a broken machine."""

import json
import os

import pytest

from air3d.cli import doctor
from air3d.cli.main import main
from air3d.renderers import probe
from air3d.renderers.probe import DeviceProbe, GlProbe
from air3d.scene3d import cache_folder

EGL = GlProbe("egl", "Mesa", "llvmpipe", "4.5", software=True)
NO_GL = GlProbe(None, error="egl: broken; osmesa: absent")
NO_CUDA = DeviceProbe(reason="no CUDA driver")
NO_WARP = DeviceProbe(reason="not installed: warp, mujoco_warp")


@pytest.fixture(autouse=True)
def _fresh_answers(monkeypatch):
    for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    probe.forget()
    yield
    probe.forget()


@pytest.fixture
def machine(monkeypatch):
    """Pretend a machine: `machine(gl, warp, cuda)`."""

    def pretend(gl=EGL, warp=NO_WARP, cuda=NO_CUDA):
        import air3d.renderers.choice

        for module in (doctor, air3d.renderers.choice):
            monkeypatch.setattr(module, "probe_gl", lambda: gl)
            monkeypatch.setattr(module, "probe_warp", lambda: warp)
        monkeypatch.setattr(doctor, "probe_cuda", lambda: cuda)

    return pretend


def finding(name):
    return next(f for f in doctor.examine().findings if f.name == name)


def test_this_machine_as_a_table(capsys):
    code = main(["doctor"])
    out = capsys.readouterr().out
    for name in (
        "python",
        "mujoco",
        "torch",
        "OpenGL",
        "MuJoCo Warp",
        "CUDA",
        "CPU cores",
        "to learn and infer",
        "display pictures",
    ):
        assert name in out
    assert code == (1 if "XX" in out else 0)


def test_this_machine_as_json(capsys):
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert set(report["gl"]) == {"platform", "vendor", "renderer", "version", "software", "error"}
    assert report["packages"]["mujoco"]
    assert report["cpu_cores"] >= 1
    assert code == (1 if report["renderer"]["backend"] is None else 0)


def test_software_opengl_is_enough(machine):
    machine()
    report = doctor.examine()
    assert report.renderer.backend == "raster"
    assert report.reference.backend == "gl"
    assert "software" in finding("OpenGL").found
    assert finding("MuJoCo Warp").state == "ok"


def test_another_platform_of_pyopengl_is_to_be_unset(machine):
    machine(gl=GlProbe(None, error="egl: PYOPENGL_PLATFORM=x11 rules it out"))
    assert finding("OpenGL").remedy == "unset PYOPENGL_PLATFORM"


def test_without_opengl_warp_draws_and_the_packages_are_named(machine):
    machine(gl=NO_GL, warp=DeviceProbe(("cpu",)))
    assert finding("OpenGL").state == "lack"
    assert "apt-get install libegl1" in finding("OpenGL").remedy
    assert finding("display pictures").found.startswith("warp (slow)")
    assert finding("to learn and infer").state == "ok"
    assert doctor.run(doctor.Args(json=True)) == 0


def test_without_opengl_and_warp_only_display_pictures_are_lacking(machine, capsys):
    machine(gl=NO_GL)
    assert main(["doctor"]) == 0
    assert finding("display pictures").state == "lack"
    assert finding("to learn and infer").found.startswith("raster")
    assert "air3d[warp]" in finding("MuJoCo Warp").remedy


def test_a_gpu_that_torch_cannot_use_is_a_lack(machine, monkeypatch):
    machine(cuda=DeviceProbe(("Some GPU",)))
    monkeypatch.setattr(doctor, "_version", lambda package: "2.13.0+cpu")
    assert finding("CUDA").state == "lack"
    assert "CUDA build" in finding("CUDA").remedy


def test_a_missing_package_has_a_remedy(monkeypatch, machine):
    machine()
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    assert finding("scipy").state == "lack"
    assert "pip install scipy" in finding("scipy").remedy


def test_where_caches_are_and_that_they_fell_back(machine, monkeypatch, tmp_path):
    machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("AIR3D_OBJECTS")
    assert finding("cache").found == str(tmp_path / "air3d")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "file" / "kinds"))
    own = tmp_path / f"air3d-{os.geteuid()}"
    assert finding("cache").found == f"{own} ({tmp_path / 'file' / 'air3d'}: Not a directory)"
    assert "set XDG_CACHE_HOME" in finding("cache").remedy
    assert (
        finding("own kinds").found.startswith(f"{own / 'objects'} (") and "AIR3D_OBJECTS" in finding("own kinds").remedy
    )
    monkeypatch.setattr(cache_folder, "_TEMPORARY", ())
    monkeypatch.delenv("TMPDIR")
    assert finding("cache").state == "lack" and finding("cache").found.startswith("none")
    monkeypatch.setattr(cache_folder.os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert finding("cache").found == f"{own} (you have no home)"


def test_a_setting_that_breaks_mujoco_is_reported(monkeypatch, capsys):
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert "MUJOCO_GL=vulkan" in report["renderer"]["reason"]
    remedies = {f["name"]: f["remedy"] for f in report["findings"]}
    assert remedies["OpenGL"] == "unset MUJOCO_GL"
