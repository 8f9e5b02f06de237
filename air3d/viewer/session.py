"""The state of one tab of the browser: its filters, its order, its page of the list, its scene, its sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from air3d.scene3d.errors import InputError
from air3d.viewer.gallery import Entry, Filter, Gallery, Order

ROWS = 8


@dataclass(frozen=True, eq=False)
class Session:
    """A tab's state. It never changes: every action gives the state that follows.

    Entries are numbered through: those of the gallery first, then the tab's own pictures.

    Attributes:
        gallery: the gallery, which all tabs share.
        uploads: the pictures dropped into this tab, known to it alone.
        filter, order: choose and sort the list; the tab's own pictures are always listed, the newest first.
        page: the page of the list, from 0; a page has `ROWS` entries.
        chosen: the number of the entry that is shown; None if the list is empty.
        sample: 0 for the answer, k for the k-th heaviest posterior sample.
    """

    gallery: Gallery
    uploads: tuple[Entry, ...] = ()
    filter: Filter = field(default_factory=Filter)
    order: Order = "scene"
    page: int = 0
    chosen: int | None = None
    sample: int = 0

    @staticmethod
    def start(gallery: Gallery, order: Order = "scene") -> Session:
        """Start a tab, which shows the first of its list."""
        return Session(gallery, order=order)._settled()

    def entry(self, number: int) -> Entry:
        """Return the entry of a number.

        Raises:
            InputError: if there is none.
        """
        own = number - len(self.gallery.entries)
        if not 0 <= number < len(self.gallery.entries) + len(self.uploads):
            raise InputError(f"there is no scene {number} here; choose one of the list")
        return self.uploads[own] if own >= 0 else self.gallery.entries[number]

    @property
    def listing(self) -> tuple[int, ...]:
        """The numbers of the listed entries, in order."""
        first = len(self.gallery.entries)
        own = range(first + len(self.uploads) - 1, first - 1, -1)
        return (*own, *self.gallery.select(self.filter, self.order))

    @property
    def pages(self) -> int:
        """The number of pages of the list, at least 1."""
        return max(-(-len(self.listing) // ROWS), 1)

    @property
    def rows(self) -> tuple[int, ...]:
        """The numbers of the entries on this page."""
        return self.listing[self.page * ROWS : (self.page + 1) * ROWS]

    @property
    def current(self) -> Entry | None:
        """The entry that is shown."""
        return None if self.chosen is None else self.entry(self.chosen)

    def choose(self, number: int) -> Session:
        """Show an entry, its answer first."""
        self.entry(number)
        return replace(self, chosen=number, sample=0)

    def step(self, by: int) -> Session:
        """Show the next entry of the list (by = 1) or the one before (-1), and its page; at the ends nothing moves."""
        listing = self.listing
        if not listing:
            return self
        place = listing.index(self.chosen) if self.chosen in listing else 0
        place = min(max(place + by, 0), len(listing) - 1)
        return replace(self.choose(listing[place]), page=place // ROWS)

    def turn(self, page: int) -> Session:
        """Turn to a page of the list, the nearest there is."""
        return replace(self, page=min(max(page, 0), self.pages - 1))

    def narrow(self, chosen: Filter) -> Session:
        """List other scenes, from the first page; a scene that is no longer listed gives way to the first that is."""
        return replace(self, filter=chosen, page=0)._settled()

    def sort(self, order: Order) -> Session:
        """Put the list into another order, from its first page; the scene that is shown stays."""
        return replace(self, order=order, page=0)._settled()

    def show_sample(self, sample: int) -> Session:
        """Show a posterior sample, or the answer with 0."""
        if sample < 0:
            raise InputError(f"sample {sample}: use 0 for the answer, or 1 and more")
        return replace(self, sample=sample)

    def upload(self, entry: Entry) -> Session:
        """Take in a picture of the user's own, and show it."""
        grown = replace(self, uploads=(*self.uploads, entry), page=0)
        return grown.choose(len(self.gallery.entries) + len(self.uploads))

    def _settled(self) -> Session:
        listing = self.listing
        if self.chosen in listing:
            return self
        return replace(self, chosen=listing[0] if listing else None, sample=0)
