"""The server behind the page: it has its own address, gives every tab a page, and leaves nothing running."""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.metadata
import io
import socket

from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene
from air3d.viewer.explainer import Explainer
from air3d.viewer.gallery import Gallery
from air3d.viewer.page import Page, set_theme
from air3d.viewer.stage import looked_at, overview

LEAST_VISER = (1, 1)
_TRIES = 100


def check_viser() -> None:
    """Raise InputError unless a viser that is new enough is installed."""
    try:
        found = importlib.metadata.version("viser")
    except importlib.metadata.PackageNotFoundError:
        raise InputError("view: needs the package 'viser': pip install 'air3d[viewer]'") from None
    if tuple(int(part) for part in found.split(".")[:2]) < LEAST_VISER:
        least = ".".join(map(str, LEAST_VISER))
        raise InputError(f"view: needs viser {least} or newer, found {found}: pip install 'air3d[viewer]'")


def free_port(host: str, port: int) -> int:
    """Return the port, or the next one that nobody listens on; 0 means any.

    Raises:
        InputError: if the host is none of this machine, or the port may not be used.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"view: --port {port}: use 0 to 65535; 0 takes any that is free")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"view: --host {host}: no such address ({error.strerror or error})") from None
    for number in range(port, min(port + _TRIES, 65536)):
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address[0], number, *address[2:]))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise InputError(f"view: {host}:{number}: {error.strerror}; use another --host or --port") from None
            return int(probe.getsockname()[1])
    raise InputError(f"view: no free port from {port} to {min(port + _TRIES, 65536) - 1}; name another --port")


class Server(Closing):
    """Serves a gallery; a context manager.

    Every tab has a `Page` and a `Session` of its own, so one does not see what another chooses, filters or drops. The
    gallery is shared and never changes; so is the explainer, which takes one request at a time.

    Args:
        port: a port that is free, from `free_port`.
        explainer: infers dropped pictures and draws samples; None if there is no model.
        dark: makes pages start dark.
    """

    def __init__(
        self, host: str, port: int, title: str, gallery: Gallery, explainer: Explainer | None, dark: bool = False
    ) -> None:
        viser = importlib.import_module("viser")
        with _silenced():
            server = viser.ViserServer(host, port, label="air3d", verbose=False)
        self._server = server
        # Any client may ask for a public address at somebody else's machine; this page stays where it was put.
        server.request_share_url = lambda verbose=True: None
        set_theme(server.gui, dark)
        server.scene.configure_default_lights(enabled=False)
        first = overview(gallery.entries[0].scene or Scene() if gallery.entries else Scene()).sized(1, 1)
        server.initial_camera.position = first.frame[:3, 3]
        server.initial_camera.look_at = looked_at(first.frame)
        server.initial_camera.fov = float(first.fovy_rad)

        # The client's widgets hold their page, and go with the client.
        server.on_client_connect(lambda client: Page(client, title, gallery, explainer, dark))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.get_port())

    def close(self) -> None:
        """Disconnect everyone and stop the server's threads."""
        with _silenced():
            self._server.stop()


def _silenced() -> contextlib.redirect_stdout[io.StringIO]:
    """Silence viser, which reports its address and its end on stdout; that belongs to the command."""
    return contextlib.redirect_stdout(io.StringIO())
