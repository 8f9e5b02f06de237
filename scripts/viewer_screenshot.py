"""Takes a picture of the viewer for its page in the docs: python scripts/viewer_screenshot.py docs/images/viewer.png

Needs the extra `viewer`, playwright and Chromium. Whatever stands behind the picture's name goes to `air3d view`.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

SCENES = ("tabletop", "--num", "200", "--seed", "0")
SIZE = {"width": 1440, "height": 810}
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def main(out: Path, arguments: list[str]) -> None:
    """Show the first scene of the list, and keep the page as a PNG of 256 colours."""
    command = [sys.executable, "-m", "air3d", "view", *(arguments or SCENES), "--port", "0"]
    viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert viewer.stdout is not None
        found = re.search(r"http://\S+", viewer.stdout.readline())
        assert found, "the viewer did not start"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport=SIZE)
            page.goto(found.group())
            page.locator("img[alt=input]").wait_for(timeout=120_000)
            for close in page.locator(".mantine-Notification-closeButton").all():  # "software rendering"
                close.click()
            before = b""
            while (shot := page.screenshot()) != before:
                before = shot
                time.sleep(2.0)
            browser.close()
    finally:
        viewer.terminate()
        viewer.wait()
    picture = Image.open(io.BytesIO(shot)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(out, optimize=True)
    print(f"wrote {out}, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
