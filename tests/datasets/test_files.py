"""Files appear whole or not at all; what the system refuses becomes one line."""

from __future__ import annotations

import errno
import os

import pytest

from air3d.datasets.files import atomic_file, remove_stale, reported
from air3d.scene3d.errors import InputError


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "a.bin"
    with atomic_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write_half():
        with atomic_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_stale_files_are_those_of_the_given_names(tmp_path):
    names = {".a.tar.12.tmp", ".a.tar.9999.tmp", ".b.tar.12.tmp", ".a.tar.tmp", "a.tar.12.tmp", ".a.tar.x.tmp", "a.tar"}
    for name in names:
        (tmp_path / name).touch()
    assert remove_stale(tmp_path, ["a.tar"]) == 2
    assert {path.name for path in tmp_path.iterdir()} == names - {".a.tar.12.tmp", ".a.tar.9999.tmp"}


@pytest.mark.parametrize(
    "number, remedy", [(errno.ENOSPC, "free some space"), (errno.EROFS, "may write to"), (errno.EIO, "error")]
)
def test_refusals_are_one_line_with_the_folder(tmp_path, number, remedy):
    with pytest.raises(InputError, match=remedy) as caught, reported(tmp_path):
        raise OSError(number, os.strerror(number), "somewhere")
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)
