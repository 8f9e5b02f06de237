"""Compiled loops are kept where that can be written; where it cannot, they are compiled and work all the same."""

import errno
import os
from pathlib import Path

import numba
import pytest

from air3d.renderers import compiled as module
from air3d.renderers.compiled import compiled
from air3d.scene3d import cache_folder

CODE = "def double(x):\n    return 2 * x\n"


@pytest.fixture
def function(tmp_path, monkeypatch):
    """A function whose folder cannot be written, and no home: a file stands in the way, which stops root too."""
    (tmp_path / "code").mkdir()
    path = tmp_path / "code" / "loop.py"
    path.write_text(CODE)
    (tmp_path / "code" / "__pycache__").write_text("a file, so that no folder can be made")
    monkeypatch.setattr(cache_folder, "_TEMPORARY", ())
    monkeypatch.setenv("XDG_CACHE_HOME", str(path / "no"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    names: dict = {}
    exec(compile(CODE, str(path), "exec"), names)
    return names["double"]


def test_a_temporary_folder_stands_in(function, tmp_path):
    made = compiled(nogil=True)(function)
    assert made(3) == 6
    assert Path(made._cache.cache_path).is_relative_to(tmp_path / f"air3d-{os.geteuid()}" / "numba")
    assert list(Path(made._cache.cache_path).glob("*.nbc"))
    assert numba.config.CACHE_DIR == "", "other users of numba find it as it was"
    again = compiled(nogil=True)(function)
    assert again(3) == 6 and sum(again.stats.cache_hits.values()) == 1


def test_nowhere_to_write(function, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "code" / "loop.py"))
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert compiled(nogil=True)(function)(3) == 6
    assert set(tmp_path.iterdir()) == before


def test_a_full_disk_and_a_damaged_cache(function, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("numba.core.caching.IndexDataCacheFile._save_data", full)
        assert compiled(nogil=True)(function)(3) == 6
    first = compiled(nogil=True)(function)
    assert first(3) == 6
    for file in Path(first._cache.cache_path).iterdir():
        file.write_bytes(b"")
    assert compiled(nogil=True)(function)(3) == 6


def test_numbas_own_variable_is_obeyed(function, monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "mine"))
    assert Path(compiled()(function)._cache.cache_path).is_relative_to(tmp_path / "mine")
    assert module.numba.config.CACHE_DIR == str(tmp_path / "mine")
