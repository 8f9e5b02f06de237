"""The viewer in a real browser: Chromium without a window, WebGL in software. Run with `-m browser`."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from air3d.datasets.pictures import encode_picture
from air3d.renderers.choice import make_renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene
from air3d.scenes.store import load_model

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
SCENES, SAMPLES, SEED = 12, 8, 3
WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run")
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept: AIR3D_ARTEFACTS, if it is set."""
    folder = os.environ.get("AIR3D_ARTEFACTS")
    if not folder:
        return tmp_path_factory.mktemp("screenshots")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


@pytest.fixture(scope="module")
def address(start_viewer: Callable[..., subprocess.Popen[str]]) -> Iterator[str]:
    """A viewer of the shipped model's dreams; at the end Ctrl-C has to end it, cleanly."""
    pytest.importorskip("viser", minversion="1.1")
    viewer = start_viewer("tabletop", "--num", SCENES, "--port", 0, "--samples", SAMPLES, "--seed", SEED, "--quiet")
    try:
        assert viewer.stdout is not None
        line = viewer.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, (line, viewer.stderr and viewer.stderr.read())
        yield found.group()
        viewer.send_signal(signal.SIGINT)
        out, err = viewer.communicate(timeout=PATIENCE_S)
        assert viewer.returncode == 130, (out, err)
        assert err == "air3d: interrupted\n"
        assert out == ""
    finally:
        viewer.kill()
        viewer.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=[*WEBGL, *QUIET])
        yield made
        made.close()


class Tab:
    """One tab with the viewer in it."""

    def __init__(self, browser: Any, address: str, artefacts: Path) -> None:
        self.page = browser.new_page(viewport={"width": 1100, "height": 620}, reduced_motion="reduce")
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.artefacts = artefacts
        self.page.goto(address)
        self.page.locator("img[alt=input]").wait_for(timeout=1000 * PATIENCE_S)
        close = self.page.locator(".mantine-Notification-closeButton")
        if close.count():  # "software rendering"
            close.first.click()

    def canvas(self, still: int = 1) -> NDArray[np.uint8]:
        """The 3D view (H, W, 3), once something is drawn and so many looks in a row see no change."""
        box = self.page.locator("canvas").first.bounding_box()
        last, same, deadline = None, 0, time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            shot = np.asarray(Image.open(io.BytesIO(self.page.screenshot(clip=box))).convert("RGB"))
            same = same + 1 if last is not None and np.array_equal(shot, last) and drawn(shot).any() else 0
            if same >= still:
                return shot
            last = shot
            time.sleep(0.3)
        raise AssertionError("the 3D view stays empty, or does not come to rest")

    def keep(self, name: str) -> None:
        self.page.screenshot(path=str(self.artefacts / f"{name}.png"))

    def scene_number(self) -> int:
        """Number of the scene in the heading."""
        return int(self.text_of(r"scene (\d+)(?! *·)"))

    def text_of(self, pattern: str) -> str:
        found = re.search(pattern, self.page.locator("body").inner_text())
        assert found, pattern
        return found.group(1)

    def rows(self) -> list[str]:
        texts = self.page.locator("button").all_inner_texts()
        return [text for text in texts if re.match(r"(scene \d+|.*\.(png|txt)) ·", text)]

    def numbers(self) -> list[int]:
        """Numbers of the listed scenes."""
        return [int(row.split()[1]) for row in self.rows() if row.startswith("scene")]

    def choose(self, label: str, option: str) -> None:
        """Pick an option of the dropdown that stands in the row of a label."""
        row = self.page.get_by_text(label, exact=True).locator("xpath=ancestor::*[.//input][1]")
        row.locator("input").first.click()
        self.page.get_by_role("option", name=option, exact=True).locator("visible=true").click()

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file onto the page, as a file manager would."""
        self.page.evaluate(
            """([name, content]) => {
                const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
                const data = new DataTransfer();
                data.items.add(new File([bytes], name));
                const zone = document.getElementById("air3d-drop");
                zone.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
            }""",
            [name, base64.b64encode(content).decode()],
        )


@pytest.fixture(scope="module")
def tab(browser: Any, address: str, artefacts: Path) -> Iterator[Tab]:
    made = Tab(browser, address, artefacts)
    made.canvas()
    yield made
    assert not made.faults  # the page stays open: Ctrl-C has to end the viewer under its feet


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """The dreams that the viewer shows, drawn here again."""
    prior = load_model("tabletop").model.prior
    return ScenePrior(prior).sample_batch(np.random.default_rng(SEED), SCENES).to_scenes()


def picture_of(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A scene drawn by another renderer than the browser: picture and mask of the objects, 64x64."""
    model = load_model("tabletop").model
    with make_renderer(model.render_config, "raster") as renderer:
        frames = renderer.render_frames(SceneBatch.from_scenes([scene], model.prior.kinds, 3))
    return frames.rgb[0], frames.segmentation[0]


def drawn(view: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a view (H, W, 3) is not its background."""
    return np.abs(view.astype(int) - view[2, 2]).max(axis=-1) > 24


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def changed(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> int:
    """Pixels that differ visibly."""
    return int((np.abs(before.astype(int) - after).max(axis=-1) > 24).sum())


def moved(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    """Whether something is elsewhere: by means of 8x8 pixels, since a slow machine may draw at a lower resolution."""
    height, width = (length // 8 * 8 for length in before.shape[:2])
    change = (before.astype(float) - after)[:height, :width].reshape(height // 8, 8, width // 8, 8, 3).mean(axis=(1, 3))
    return bool(np.abs(change).max() > 16.0)


def test_the_page_shows_the_table(tab: Tab) -> None:
    view = tab.canvas()
    tab.keep("light")
    something = drawn(view)
    assert 0.04 < something.mean() < 0.6
    assert len(np.unique(view[something] // 16, axis=0)) > 30, "shaded, not flat"
    brown = (view[..., 0].astype(int) - view[..., 2] > 25)[something].mean()
    assert brown > 0.4, "most of it is a wooden table"


def test_it_lists_the_scenes_worst_first(tab: Tab) -> None:
    rows = tab.rows()
    assert len(rows) == 8
    known = [float(found.group(1)) for row in rows if (found := re.search(r"([\d.]+) cm$", row))]
    assert known == sorted(known, reverse=True)
    assert f"{SCENES} scenes, page 1 of 2" in tab.page.locator("body").inner_text()
    assert tab.scene_number() == tab.numbers()[0]


def test_a_click_on_a_scene_shows_it(tab: Tab) -> None:
    before = tab.canvas(still=8)
    assert not moved(before, tab.canvas()), "nothing moves by itself"
    row = tab.rows()[3]
    tab.page.get_by_role("button", name=row, exact=True).click()
    number = int(row.split()[1])
    tab.page.locator(f"text=/^scene {number}$/").wait_for()
    eventually(lambda: changed(before, tab.canvas()) > 500, "a click changes the view")
    tab.keep("clicked")


def test_the_slider_shows_posterior_samples(tab: Tab) -> None:
    before, note = tab.canvas(still=8), f"Sample {SAMPLES} of {SAMPLES}"  # a slow machine loads for a while
    assert "Sample 1 of" not in tab.page.locator("body").inner_text()
    slider = tab.page.get_by_role("slider").first
    slider.focus()
    slider.press("End")
    tab.page.get_by_text(note).wait_for()
    eventually(lambda: moved(before, tab.canvas()), "a sample differs from the mode")
    tab.keep("sample")
    slider.press("Home")
    tab.page.get_by_text(note).wait_for(state="detached")
    eventually(lambda: not moved(before, tab.canvas()), "the first position shows the mode again")


def test_what_the_camera_sees_is_what_mujoco_draws(tab: Tab, scenes: list[Scene]) -> None:
    """Up is up, left is left, and a metre is a metre: silhouettes against the rasteriser's, by overlap."""
    for label in ("Labels", "Truth"):
        tab.page.get_by_text(label, exact=True).locator("xpath=ancestor::*[.//input][1]//input").first.click()
    tab.choose("Look from", "inferred camera")
    view = tab.canvas()
    tab.keep("camera")
    assert view[2, 2].min() > 200, "a light background"
    side = min(view.shape[:2])
    top, left = ((length - side) // 2 for length in view.shape[:2])
    square = Image.fromarray(view[top : top + side, left : left + side]).resize((64, 64), Image.Resampling.BOX)
    pixels = np.asarray(square).astype(int)
    image, objects = picture_of(scenes[tab.scene_number()])
    seen, expected = drawn(pixels), image.max(axis=-1) > 0
    assert (seen & expected).sum() / (seen | expected).sum() > 0.93
    red = (image[..., 0] > 2 * image[..., 1].clip(8)) & (objects > 0)  # mugs
    blue = (image[..., 2] > 2 * image[..., 0].clip(8)) & (objects > 0)  # bowls
    assert red.sum() + blue.sum() > 20, "the chosen scene has nothing coloured in it"
    for there, here in (
        (red, pixels[..., 0] > 2 * pixels[..., 1].clip(8)),
        (blue, pixels[..., 2] > 2 * pixels[..., 0].clip(8)),
    ):
        if there.sum() > 20:
            assert (there & here).sum() / (there | here).sum() > 0.6
    tab.choose("Look from", "opposite the camera")
    for label in ("Labels", "Truth"):
        tab.page.get_by_text(label, exact=True).locator("xpath=ancestor::*[.//input][1]//input").first.click()


def test_filters_narrow_the_list(tab: Tab, scenes: list[Scene]) -> None:
    tab.choose("Objects", "2")
    wanted = {i for i, scene in enumerate(scenes) if len(scene.objects) == 2}
    eventually(lambda: set(tab.numbers()) == wanted, "scenes of two objects")
    tab.choose("Objects", "any")
    tab.choose("Order", "by number")
    eventually(lambda: tab.numbers() == list(range(8)), "scenes in their order")


def test_a_dropped_picture_is_inferred_and_no_other_tab_sees_it(
    tab: Tab, browser: Any, address: str, artefacts: Path, scenes: list[Scene]
) -> None:
    other = Tab(browser, address, artefacts)
    before = other.scene_number()
    wanted = next(scene for scene in scenes if len(scene.objects) == 3)
    tab.drop("mine.png", encode_picture(picture_of(wanted)[0]))
    tab.page.locator("text=/^mine.png$/").first.wait_for()
    row = tab.rows()[0]
    assert sum(int(text.split()[0]) if " " in text else 1 for text in row.split(" · ")[1].split(", ")) == 3
    tab.canvas()
    tab.keep("dropped")
    assert not [row for row in other.rows() if "mine" in row]
    assert other.scene_number() == before
    other.page.close()


def test_a_file_that_is_no_picture_is_refused_in_a_line(tab: Tab) -> None:
    tab.drop("notes.txt", b"no picture at all")
    tab.page.get_by_text("notes.txt: not a picture that can be read").wait_for()
    tab.keep("refused")
    assert not [row for row in tab.rows() if "notes" in row]
    tab.page.get_by_role("button", name=tab.rows()[2], exact=True).click()
    tab.page.locator("text=/^scene 1$/").wait_for()


def test_it_turns_dark(tab: Tab) -> None:
    before = tab.canvas()[2, 2]
    tab.page.get_by_text("Dark", exact=True).locator("xpath=ancestor::*[.//input][1]//input").first.click()
    eventually(lambda: tab.canvas()[2, 2].max() < 80 < before.min(), "a dark background")
    tab.keep("dark")


def test_playwright_is_there() -> None:
    assert importlib.util.find_spec("playwright"), "Chromium is here but playwright is not: pip install '.[dev]'"
