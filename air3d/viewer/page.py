"""One tab of the browser: its panels, and the actions that they start. A `Session` of its own holds its state.

Left: the list of scenes with its filters. Middle: the table. Right: pictures, errors, posterior samples, view, upload.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.pictures import as_picture
from air3d.scene3d.camera import Camera
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.viewer import html
from air3d.viewer.explainer import Explainer
from air3d.viewer.gallery import ORDERS, Entry, Filter, Gallery, pixel_rmse
from air3d.viewer.session import ROWS, Session
from air3d.viewer.shown import Shown, shown
from air3d.viewer.stage import Layer, Stage, overview

if TYPE_CHECKING:
    import viser

_ANY = "any"
_OPPOSITE, _TRUE_CAMERA, _INFERRED_CAMERA, _FREE = "opposite the camera", "true camera", "inferred camera", "free"
# sRGB bytes of the list's buttons.
_ROW_COLOUR = {False: (228, 231, 235), True: (58, 62, 68)}
_CHOSEN_COLOUR = (250, 130, 40)
_LIST_WIDTH_PX, _PANEL_WIDTH_PX = 300, 360
_NOTICE_S = 8.0


class Page:
    """Builds the panels of one client and keeps them true to its session.

    Callbacks come on the threads of a pool; a lock lets one at a time through.
    """

    def __init__(
        self, client: viser.ClientHandle, title: str, gallery: Gallery, explainer: Explainer | None, dark: bool
    ) -> None:
        self._client, self._explainer = client, explainer
        self._session = Session.start(gallery)
        self._lock = threading.Lock()
        self._stage = Stage(client)
        self._looked: tuple[object, ...] = ()
        self._build(title, dark)
        with self._lock:
            self._refresh()

    def _build(self, title: str, dark: bool) -> None:
        gui, gallery = self._client.gui, self._session.gallery
        panel = gui.add_panel()
        with panel.add_tab("Scenes", "list"):
            self._count = gui.add_dropdown("Objects", (_ANY, *(str(n) for n in gallery.counts)))
            self._kind = gui.add_dropdown("Holding", (_ANY, *gallery.kinds))
            self._order = gui.add_dropdown("Order", tuple(ORDERS.values()))
            self._order.visible = self._explainer is not None
            self._summary = gui.add_html("")
            self._rows = [gui.add_button("", color=_ROW_COLOUR[dark]) for _ in range(ROWS)]
            self._turn = gui.add_button_group("Page", ("previous", "next"))
            if self._explainer is not None:
                with gui.add_folder("Your own picture"):
                    gui.add_html(html.drop_zone())
                    upload = gui.add_upload_button("Choose a picture", icon="upload", mime_type="image/*")
                    self._on(upload.on_upload, self._upload)
        panel.dock_left()
        panel.set_width(_LIST_WIDTH_PX)
        gui.main_panel.dock_right()
        gui.main_panel.set_width(_PANEL_WIDTH_PX)
        self._title = title
        self._head = gui.add_html(html.heading(title, "loading"))
        self._step = gui.add_button_group("Scene", ("previous", "next"))
        self._pictures = gui.add_html("")
        most = max(self._samples_wanted, 1)
        self._sample = gui.add_slider("Sample", 0, most, 1, 0, marks=((0, "answer"), (most, str(most))))
        self._sample.visible = self._samples_wanted > 0
        self._details = gui.add_html("")
        with gui.add_folder("View"):
            self._legend = gui.add_html("")
            self._truth = gui.add_checkbox("Truth", True)
            self._labels = gui.add_checkbox("Labels", True)
            self._cameras = gui.add_checkbox("Cameras", True)
            self._from = gui.add_dropdown("Look from", (_OPPOSITE, _TRUE_CAMERA, _INFERRED_CAMERA, _FREE))
            self._overview = gui.add_button("Overview", icon="home")
            self._dark = gui.add_checkbox("Dark", dark)
        self._connect()

    def _connect(self) -> None:
        for place, button in enumerate(self._rows):
            self._on(button.on_click, partial(self._choose, place))
        self._on(self._count.on_update, lambda event: self._narrow())
        self._on(self._kind.on_update, lambda event: self._narrow())
        self._on(self._order.on_update, lambda event: self._sort())
        self._on(self._turn.on_click, lambda event: self._turn_page(1 if event.target.value == "next" else -1))
        self._on(self._step.on_click, lambda event: self._go(1 if event.target.value == "next" else -1))
        self._on(self._sample.on_update, lambda event: self._show_sample())
        for box in (self._truth, self._labels, self._cameras, self._from):
            self._on(box.on_update, lambda event: self._refresh())
        self._on(self._overview.on_click, lambda event: self._look_over())
        self._on(self._dark.on_update, lambda event: self._recolour())

    def _on(self, register: Callable[[Callable[[Any], None]], Any], action: Callable[[Any], None]) -> None:
        """Bind an action to a widget: one action runs at a time, and an error ends no more than the action."""

        def run(event: Any) -> None:
            if event.client is None:  # the page itself has set the widget
                return
            with self._lock:
                try:
                    action(event)
                except InputError as error:
                    self._notify("This does not work", str(error), "red")
                except Exception as error:
                    traceback.print_exc(file=sys.stderr)
                    self._notify("A fault of the viewer", f"{type(error).__name__}: {error}", "red")

        register(run)

    def _notify(self, heading: str, text: str, colour: str) -> None:
        self._client.add_notification(heading, text, auto_close_seconds=_NOTICE_S, color=colour)

    @property
    def _samples_wanted(self) -> int:
        return 0 if self._explainer is None else self._explainer.sample_count

    def _choose(self, place: int, event: object) -> None:
        if place < len(self._session.rows):
            self._go_to(self._session.choose(self._session.rows[place]))

    def _go(self, by: int) -> None:
        self._go_to(self._session.step(by))

    def _narrow(self) -> None:
        count, kind = self._count.value, self._kind.value
        wanted = Filter(None if count == _ANY else int(count), None if kind == _ANY else kind)
        self._go_to(self._session.narrow(wanted))

    def _sort(self) -> None:
        order = next(name for name, text in ORDERS.items() if text == self._order.value)
        self._go_to(self._session.sort(order))

    def _turn_page(self, by: int) -> None:
        self._go_to(self._session.turn(self._session.page + by))

    def _show_sample(self) -> None:
        self._session = self._session.show_sample(int(self._sample.value))
        self._refresh()

    def _look_over(self) -> None:
        self._from.value, self._looked = _OPPOSITE, ()
        self._refresh()

    def _recolour(self) -> None:
        set_theme(self._client.gui, self._dark.value)
        self._refresh()

    def _upload(self, event: Any) -> None:
        assert self._explainer is not None
        file = event.target.value
        notes: list[str] = []
        picture = as_picture(bytes(file.content), self._explainer.model.image_size, file.name, notes)
        start = time.perf_counter()
        (entry,) = self._explainer.explain((file.name,), picture[None])
        seconds = time.perf_counter() - start
        self._go_to(self._session.upload(entry))
        for note in notes:
            self._notify(file.name, note, "yellow")
        self._notify(file.name, f"Inferred in {1000 * seconds:.0f} ms; listed first, in this tab alone.", "green")

    def _go_to(self, session: Session) -> None:
        self._session = session
        self._sample.value = session.sample
        self._refresh()

    def _refresh(self) -> None:
        """Make panels and table show the session."""
        entry = self._session.current
        samples = None
        if self._session.sample and entry is not None and self._explainer is not None:
            samples = self._explainer.samples(entry.image)
        with self._client.atomic():
            self._list()
            if entry is None:
                self._head.content = html.heading(self._title, "no scene passes the filters")
                self._pictures.content = self._details.content = self._legend.content = ""
                self._stage.show(None, None, ())
                self._stage.show_cameras(1.0, {})
                return
            now = shown(entry, samples, self._session.sample)
            self._panel(entry, now)
            self._draw(entry, now)

    def _list(self) -> None:
        session = self._session
        inferred = self._explainer is not None
        self._summary.content = html.summary(len(session.listing), session.page, session.pages, inferred)
        for place, button in enumerate(self._rows):
            button.visible = place < len(session.rows)
            if button.visible:
                number = session.rows[place]
                button.label = html.row_label(session.entry(number))
                button.color = _CHOSEN_COLOUR if number == session.chosen else _ROW_COLOUR[self._dark.value]
        self._turn.visible = session.pages > 1

    def _panel(self, entry: Entry, now: Shown) -> None:
        columns: Sequence[tuple[str, NDArray[np.uint8]]] = (("input", entry.image),)
        if now.render is not None:
            columns = (*columns, (now.caption, now.render), ("difference", html.difference(entry.image, now.render)))
        rmse = None if now.render is None else pixel_rmse(entry.image, now.render)
        self._head.content = html.heading(self._title, entry.name)
        self._pictures.content = html.pictures(columns)
        self._legend.content = html.legend(entry.truth is not None, now.scene is not None)
        self._details.content = (
            (html.block(now.note) if now.note else "")
            + html.objects_table(entry.truth, now.scene, now.errors, now.presence)
            + html.verdict(entry, now.errors, rmse)
        )

    def _draw(self, entry: Entry, now: Shown) -> None:
        truth = entry.truth if self._truth.value or now.scene is None else None
        labels = html.object_labels(entry.truth, now.scene, now.errors) if self._labels.value else ()
        self._stage.show(truth, now.scene, labels)
        height, width = entry.image.shape[:2]
        cameras: dict[Layer, tuple[Camera, NDArray[np.uint8] | None]] = {}
        if truth is not None:
            cameras["truth"] = truth.camera.sized(width, height), entry.image
        if now.scene is not None:
            cameras["inference"] = now.scene.camera.sized(width, height), now.render
        view = self._view(entry, now)
        # Through a camera its own frustum would hide the table.
        inside = self._from.value in (_TRUE_CAMERA, _INFERRED_CAMERA) and view is not None
        self._stage.show_cameras(entry.table.radius_m, cameras if self._cameras.value and not inside else {})
        # A view that was turned by hand stays until another scene is chosen.
        looked = (self._from.value, self._session.chosen, view if inside else None)
        if view is not None and looked != self._looked:
            self._stage.look_from(view.sized(width, height))
        self._looked = looked

    def _view(self, entry: Entry, now: Shown) -> Orbit | None:
        """The camera to look from; None to keep the tab's own view."""
        if self._from.value == _OPPOSITE:
            return None if entry.scene is None else overview(entry.scene)
        scene = {_TRUE_CAMERA: entry.truth, _INFERRED_CAMERA: now.scene}.get(self._from.value)
        return None if scene is None else scene.camera


def set_theme(gui: Any, dark: bool) -> None:
    """Set the colours of the page, without a share button, which would publish it through somebody else's machine."""
    gui.configure_theme(dark_mode=dark, show_logo=False, show_share_button=False, brand_color=(230, 100, 20))
