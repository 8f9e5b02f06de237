"""Addresses, and a start and an end without remains."""

from __future__ import annotations

import socket
import threading
import urllib.request

import pytest

from air3d.scene3d.errors import InputError
from air3d.viewer.gallery import Gallery
from air3d.viewer.server import Server, check_viser, free_port


def listening(host: str = "127.0.0.1") -> socket.socket:
    made = socket.socket()
    made.bind((host, 0))
    made.listen()
    return made


def test_a_taken_port_gives_way_to_the_next() -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        assert port < free_port("127.0.0.1", port) <= port + 100
    assert free_port("127.0.0.1", 0) > 0


@pytest.mark.parametrize(
    "host,port,message",
    [
        ("127.0.0.1", 65536, "--port 65536"),
        ("127.0.0.1", -1, "--port -1"),
        ("no.such.host.invalid", 8080, "no such address"),
        ("192.0.2.1", 8080, "use another --host"),  # reserved for documentation (RFC 5737): nobody's own
    ],
)
def test_addresses_that_cannot_be_used(host: str, port: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        free_port(host, port)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("found,message", [("0.2.23", "viser 1.1 or newer, found 0.2.23"), (None, "needs the package")])
def test_a_viser_that_is_missing_or_old_is_named(
    found: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.metadata as metadata

    def version(name: str) -> str:
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(InputError, match=message):
        check_viser()


def test_it_serves_on_loopback_alone_and_ends(gallery: Gallery, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("viser", minversion="1.1")
    before = set(threading.enumerate())
    with Server("127.0.0.1", free_port("127.0.0.1", 0), "test", gallery, None) as server:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/") as answer:
            assert answer.status == 200
            assert b"<!doctype html>" in answer.read(200).lower()
        # All of 127.0.0.0/8 is this machine: a server on every address would answer there too.
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", server.port), timeout=5):
            pass
        port = server.port
    assert not {thread for thread in set(threading.enumerate()) - before if thread.is_alive()}
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    assert capfd.readouterr().out == "", "stdout belongs to the command"
