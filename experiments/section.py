"""A section of the page."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Section:
    """The section that is being written.

    Attributes:
        lines: its lines of Markdown.
        figures: its PNG files by name.
    """

    lines: list[str] = field(default_factory=list)
    figures: dict[str, bytes] = field(default_factory=dict)

    def text(self, *lines: str) -> None:
        """Add a paragraph or a table."""
        self.lines += [*lines, ""]

    def figure(self, name: str, png: bytes, alt: str) -> None:
        """Add a picture with words for those who do not see it."""
        self.figures[name] = png
        self.text(f"![{alt}]({name})")
