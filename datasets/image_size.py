"""The size of images, width times height, which square ones write as one number."""

from __future__ import annotations

from typing import NamedTuple

from air3d.scene3d.errors import InputError, shown

# As configurations and JSON files have it: the side of square images, or (width, height).
Size = int | tuple[int, int]


class ImageSize(NamedTuple):
    """The size of images, pixels; its text is "160x120"."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        """The number of pixels in an image."""
        return self.width * self.height

    @property
    def plain(self) -> Size:
        """The side of square images, else (width, height)."""
        return self.width if self.width == self.height else (self.width, self.height)

    @staticmethod
    def of(size: Size) -> ImageSize:
        """Convert the form of configurations."""
        return ImageSize(size, size) if isinstance(size, int) else ImageSize(*size)

    @staticmethod
    def parse(option: str, text: str, low: int, high: int) -> ImageSize:
        """Read "64" or "160x120"; each side is from `low` to `high`.

        Raises:
            InputError: for anything else; the message names the option.
        """
        sides = text.lower().split("x")
        if len(sides) in (1, 2) and all(side.isascii() and side.isdigit() and len(side) < 10 for side in sides):
            size = ImageSize(int(sides[0]), int(sides[-1]))
            if low <= min(size) and max(size) <= high:
                return size
        raise InputError(
            f"{option} {shown(text)}: write a side, 64, or WIDTHxHEIGHT, 160x120, of {low} to {high} pixels each"
        )
