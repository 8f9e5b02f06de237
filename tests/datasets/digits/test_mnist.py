"""MNIST's files from a folder or a mirror: the content decides, and each failure is named."""

from __future__ import annotations

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from air3d.datasets.digits import mnist
from air3d.datasets.digits.mnist import FILES, SHA256, download, read_file
from air3d.datasets.digits.sources import is_original_mnist
from air3d.scene3d.errors import InputError

NAME = "t10k-labels-idx1-ubyte"
CONTENT = b"the original file" * 50


@pytest.fixture(autouse=True)
def _original(monkeypatch):
    monkeypatch.setitem(mnist.SHA256, NAME, hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def mirror(tmp_path):
    """mirror(content): the address of one that serves it packed."""

    def make(content, name="mirror"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{NAME}.gz").write_bytes(gzip.compress(content))
        return f"{folder.as_uri()}/"

    return make


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_every_file_has_a_sum():
    assert {name for names in FILES.values() for name in names} == SHA256.keys()
    assert all(len(value) == 64 for value in SHA256.values())


def test_the_first_mirror_with_the_original_is_taken_and_kept(mirror, tmp_path):
    cache = tmp_path / "cache" / "below"
    mirrors = [f"{(tmp_path / 'nowhere').as_uri()}/", mirror(b"a captive portal", "bad"), mirror(CONTENT)]
    assert download(NAME, mirrors, cache) == CONTENT
    assert [path.name for path in cache.iterdir()] == [NAME]
    assert download(NAME, [], cache) == CONTENT  # without a mirror: from the cache


def test_a_damaged_cache_is_replaced(mirror, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    assert download(NAME, [mirror(CONTENT)], tmp_path) == CONTENT
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_over_http(mirror, tmp_path):
    mirror(CONTENT)
    handler = partial(Silent, directory=str(tmp_path / "mirror"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/"
            assert download(NAME, [address], tmp_path / "cache") == CONTENT
            with pytest.raises(InputError, match="nothing/: File not found"):
                download(NAME, [address + "nothing/"], tmp_path / "other")
        finally:
            server.shutdown()
            thread.join()


def test_when_no_mirror_has_it_each_reason_is_told(mirror, tmp_path):
    with pytest.raises(InputError, match=r"bad/: its content is not the original \(sha256\).*--mnist-dir") as caught:
        download(NAME, ["nonsense", mirror(b"a captive portal", "bad")], tmp_path / "cache")
    assert "nonsense: unknown url type" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_files_that_are_too_large_are_not_kept(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_MAX_DOWNLOAD", 10)
    with pytest.raises(InputError, match="too large"):
        download(NAME, [mirror(CONTENT)], tmp_path / "cache")


def test_without_a_folder_the_cache_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "MIRRORS", ())
    with pytest.raises(InputError, match="could not be downloaded"):
        read_file(NAME, None)
    (tmp_path / "air3d" / "mnist").mkdir(parents=True, exist_ok=True)
    (tmp_path / "air3d" / "mnist" / NAME).write_bytes(CONTENT)
    assert read_file(NAME, None) == CONTENT


def test_a_cache_that_cannot_be_written_is_done_without(mirror, tmp_path):
    (tmp_path / "file").write_text("")
    address = mirror(CONTENT)
    assert download(NAME, [address], tmp_path / "file" / "cache") == CONTENT
    assert download(NAME, [address], None) == CONTENT


def test_a_folder_may_hold_other_digits_and_it_is_known(mnist_dir, tmp_path):
    assert not is_original_mnist("test", mnist_dir)
    with pytest.raises(InputError, match=r"holds neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte\.gz"):
        is_original_mnist("test", tmp_path)
