"""Where caches are when there is no home, or nowhere to write. Paths below a file cannot be written even by root."""

import os
from pathlib import Path

import pytest

from air3d.scene3d import cache_folder
from air3d.scene3d.cache_folder import cache_places, refusal, writable_cache


@pytest.fixture(autouse=True)
def system(tmp_path, monkeypatch):
    """A system whose folder for temporary files is the test's; no home; a file below which nothing can be made."""
    (tmp_path / "file").write_text("")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(cache_folder, "_TEMPORARY", (str(tmp_path / "tmp"),))
    for name in ("XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    return tmp_path


def own(folder: Path) -> Path:
    return folder / f"air3d-{os.geteuid()}"


@pytest.mark.parametrize(
    "environment, named, first",
    [
        ({"XDG_CACHE_HOME": "/x"}, None, "/x/air3d/objects"),
        ({"XDG_CACHE_HOME": "x", "HOME": "/h"}, None, "/h/.cache/air3d/objects"),
        ({"HOME": "/h"}, "", "/h/.cache/air3d/objects"),
        ({"HOME": "/"}, None, "/.cache/air3d/objects"),
        ({"XDG_CACHE_HOME": "/x"}, "relative", "relative"),
    ],
)
def test_the_place_that_the_user_wants_comes_first(system, monkeypatch, environment, named, first):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_places("objects", named) == (Path(first), own(system / "tmp") / "objects")


def test_a_user_whom_the_system_does_not_know_has_no_home(system, monkeypatch):
    monkeypatch.setattr(cache_folder.os.path, "expanduser", lambda path: path)
    assert cache_places("objects") == (own(system / "tmp") / "objects",)


def test_what_can_be_written_is_made(system, monkeypatch):
    monkeypatch.setenv("HOME", str(system))
    assert writable_cache("a/b") == system / ".cache" / "air3d" / "a" / "b"
    assert (system / ".cache" / "air3d" / "a" / "b").is_dir()
    assert writable_cache("a", str(system / "mine")) == system / "mine"


@pytest.mark.parametrize("home", ["file/home", "/proc/1/nope", "/dev/null"])
def test_a_temporary_folder_that_is_closed_to_others_stands_in(system, monkeypatch, home):
    monkeypatch.setenv("HOME", str(system / home))
    found = writable_cache("objects")
    assert found == own(system / "tmp") / "objects"
    assert own(system / "tmp").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("TMPDIR", str(system / "mine"))
    (system / "mine").mkdir()
    assert writable_cache("objects") == own(system / "mine") / "objects"


def test_a_folder_that_others_may_write_is_not_used(system):
    own(system / "tmp").mkdir(mode=0o777)
    own(system / "tmp").chmod(0o777)
    assert writable_cache("objects") is None
    own(system / "tmp").rmdir()
    (system / "elsewhere").mkdir(mode=0o700)
    own(system / "tmp").symlink_to(system / "elsewhere")
    assert writable_cache("again") is None


def test_nowhere_to_write_is_an_answer(system, monkeypatch):
    monkeypatch.setattr(cache_folder, "_TEMPORARY", (str(system / "file"),))
    assert writable_cache("objects") is None
    assert refusal(system / "file" / "x") == "Not a directory"
