"""The probes: what they answer here, and that a broken OpenGL is an answer too, never an exception."""

import subprocess
import sys

import pytest

from air3d.renderers import probe
from air3d.renderers.probe import (
    DeviceProbe,
    check_mujoco_importable,
    probe_cuda,
    probe_gl,
    probe_warp,
    requested_platform,
)
from air3d.scene3d.errors import InputError

NO_EGL = "/nonexistent-vendor-folder"


@pytest.fixture(autouse=True)
def _fresh_answers(monkeypatch):
    for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM"):  # MuJoCo sets the other one itself
        monkeypatch.delenv(name, raising=False)
    probe.forget()
    yield
    probe.forget()


def fake_attempts(monkeypatch, answers):
    """Let `_attempt` give these answers; returns the list of names that were tried."""
    tried = []

    def attempt(name, timeout_s, env):
        tried.append(name)
        return answers[name]

    monkeypatch.setattr(probe, "_attempt", attempt)
    return tried


WORKS = {"vendor": "V", "renderer": "R", "version": "4.5", "software": True}


def test_the_answer_on_this_machine_is_complete():
    gl = probe_gl()
    if gl.platform is None:
        assert gl.error
        assert "\n" not in gl.error
    else:
        assert gl.platform in probe.PLATFORMS
        assert gl.renderer
        assert gl.version
        assert (
            gl.software == any(word in gl.renderer.lower() for word in ("llvmpipe", "softpipe"))
            or gl.platform == "osmesa"
        )


@pytest.mark.parametrize("value", ["osmesa", "x11", "glx", "EGL", ""])
def test_the_variable_of_pyopengl_is_named_with_its_value(monkeypatch, value):
    tried = fake_attempts(monkeypatch, {"egl": WORKS, "osmesa": {"error": "absent"}})
    monkeypatch.setenv("PYOPENGL_PLATFORM", value)
    gl = probe_gl()
    if value.lower() in ("egl", ""):
        assert gl.platform == "egl" and gl.error is None
        return
    assert tried == (["osmesa"] if value == "osmesa" else [])
    assert f"egl: PYOPENGL_PLATFORM={value} rules it out; unset PYOPENGL_PLATFORM" in (gl.error or "")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(InputError, match=f"MUJOCO_GL=egl, but PYOPENGL_PLATFORM={value}"):
        check_mujoco_importable()


def test_a_reason_is_not_cut_off_before_it_says_what_is_wrong(monkeypatch):
    """The whole way: what MuJoCo says in its second sentence comes through."""
    monkeypatch.setattr(probe, "_other_pyopengl", lambda platform: None)
    monkeypatch.setenv("PYOPENGL_PLATFORM", "x11")
    if probe._library_loads("EGL"):
        assert "PYOPENGL_PLATFORM" in (probe_gl(platforms=("egl",)).error or "")


def test_without_egl_vendors_the_next_platform_is_tried(monkeypatch):
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_DIRS", NO_EGL)
    gl = probe_gl()
    assert gl.platform in ("osmesa", None)
    assert gl.error is not None
    assert gl.error.startswith("egl: ")
    if gl.platform is None:
        assert "osmesa: " in gl.error


def test_the_second_platform_serves_when_the_first_fails(monkeypatch):
    tried = fake_attempts(monkeypatch, {"egl": {"error": "broken"}, "osmesa": WORKS})
    gl = probe_gl()
    assert (gl.platform, gl.renderer, gl.software, gl.error) == ("osmesa", "R", True, "egl: broken")
    assert tried == ["egl", "osmesa"]


def test_the_first_platform_that_draws_ends_the_search_and_is_remembered(monkeypatch):
    tried = fake_attempts(monkeypatch, {"egl": WORKS})
    assert probe_gl() is probe_gl()
    assert tried == ["egl"]


def test_mujoco_gl_names_the_only_platform_to_try(monkeypatch):
    tried = fake_attempts(monkeypatch, {"egl": WORKS, "osmesa": {"error": "absent"}})
    assert probe_gl().platform == "egl"
    monkeypatch.setenv("MUJOCO_GL", " OSMesa ")
    assert probe_gl().platform is None, "a remembered answer must not outlive the setting"
    assert tried == ["egl", "osmesa"]


@pytest.mark.parametrize("value", ["off", "glfw", "vulkan"])
def test_other_values_of_mujoco_gl_are_answered_with_a_remedy(monkeypatch, value):
    tried = fake_attempts(monkeypatch, {})
    monkeypatch.setenv("MUJOCO_GL", value)
    gl = probe_gl()
    assert gl.platform is None
    assert f"MUJOCO_GL={value}" in gl.error
    assert "unset it" in gl.error
    assert tried == []


@pytest.mark.parametrize("value", ["", "1", "on", "true"])
def test_values_that_mean_yes_leave_the_choice_open(monkeypatch, value):
    monkeypatch.setenv("MUJOCO_GL", value)
    assert requested_platform() is None


def test_a_value_that_mujoco_rejects_is_found_before_the_import(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    with pytest.raises(InputError, match="MUJOCO_GL=vulkan"):
        check_mujoco_importable()
    monkeypatch.setenv("MUJOCO_GL", "off")
    check_mujoco_importable()


def test_a_missing_osmesa_is_found_before_the_import(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr(probe, "_library_loads", lambda name: False)
    with pytest.raises(InputError, match="libosmesa6"):
        check_mujoco_importable()


def test_an_attempt_that_hangs_is_given_up():
    # Less than Python needs to start.
    gl = probe_gl(timeout_s=0.001, platforms=("egl",))
    assert gl.platform is None
    assert "no answer within 0.001 s" in gl.error


@pytest.mark.parametrize(
    "code, words",
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("raise SystemExit('no driver')", "no driver"),
    ],
)
def test_an_attempt_that_dies_is_an_answer(monkeypatch, code, words):
    run = subprocess.run
    monkeypatch.setattr(probe.subprocess, "run", lambda argv, **kw: run([sys.executable, "-c", code], **kw))
    gl = probe_gl(platforms=("egl",))
    assert gl.platform is None
    assert words in gl.error


def test_warp_is_not_imported_when_it_is_not_installed(monkeypatch):
    tried = fake_attempts(monkeypatch, {})
    monkeypatch.setattr(probe.importlib.util, "find_spec", lambda name: None)
    assert probe_warp() == DeviceProbe((), "not installed: warp, mujoco_warp")
    assert tried == []


def test_warp_and_cuda_name_devices_or_a_reason():
    for answer in (probe_warp(), probe_cuda()):
        assert bool(answer.devices) != bool(answer.reason)


def test_probing_loads_no_opengl_here():
    code = (
        "import sys, air3d.renderers.probe as p; p.probe_gl(); p.probe_warp(); p.probe_cuda();"
        "assert not {'mujoco', 'OpenGL', 'warp', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
