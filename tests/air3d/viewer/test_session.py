"""A tab's state: every action gives the state that follows, and none reaches another tab."""

from __future__ import annotations

import pytest

from air3d.scene3d.errors import InputError
from air3d.viewer.gallery import Entry, Filter, Gallery
from air3d.viewer.session import ROWS, Session


def many(gallery: Gallery, count: int = 20) -> Gallery:
    one = gallery.entries[3]
    return Gallery(tuple(Entry(f"scene {i}", one.image, one.truth) for i in range(count)))


def name(session: Session) -> str:
    assert session.current is not None
    return session.current.name


def test_it_starts_with_the_first_of_its_list(gallery: Gallery) -> None:
    assert name(Session.start(gallery)) == "count"
    assert Session.start(Gallery(())).current is None


def test_it_steps_through_the_list_and_stops_at_its_ends(gallery: Gallery) -> None:
    session, seen = Session.start(gallery), []
    for _ in range(6):
        seen.append(name(session))
        session = session.step(1)
    assert seen == ["count", "kind", "far", "near", "empty", "empty"]
    assert name(Session.start(gallery).step(-1)) == "count"


def test_pages_cover_the_list_once(gallery: Gallery) -> None:
    session = Session.start(many(gallery), "number")
    assert session.pages == -(-20 // ROWS)
    pages = [session.turn(page).rows for page in range(session.pages)]
    assert [number for rows in pages for number in rows] == list(range(20))
    assert session.turn(99).page == session.pages - 1
    assert session.turn(-1).page == 0


def test_stepping_turns_the_page(gallery: Gallery) -> None:
    session = Session.start(many(gallery), "number").choose(ROWS - 1).step(1)
    assert (session.chosen, session.page) == (ROWS, 1)
    assert session.chosen in session.rows


def test_a_filter_lets_the_shown_scene_stay_if_it_passes(gallery: Gallery) -> None:
    session = Session.start(gallery).choose(1)
    assert name(session.narrow(Filter(kind="plate"))) == "kind"
    assert name(session.narrow(Filter(count=1))) == "count"
    nothing = session.narrow(Filter(count=9))
    assert nothing.current is None
    assert nothing.step(1).current is None
    assert name(nothing.narrow(Filter())) == "count"


def test_another_order_keeps_the_scene_and_its_sample(gallery: Gallery) -> None:
    session = Session.start(gallery).choose(0).show_sample(3).sort("number")
    assert (name(session), session.sample) == ("near", 3)


def test_another_scene_shows_its_answer_first(gallery: Gallery) -> None:
    session = Session.start(gallery).show_sample(3)
    assert session.choose(4).sample == 0
    assert session.step(1).sample == 0
    assert session.narrow(Filter(count=0)).sample == 0


def test_own_pictures_come_first_whatever_is_filtered(gallery: Gallery) -> None:
    image = gallery.entries[0].image
    session = Session.start(gallery).narrow(Filter(count=0)).upload(Entry("a", image)).upload(Entry("b", image))
    assert name(session) == "b"
    assert [session.entry(number).name for number in session.listing] == ["b", "a", "empty"]
    assert name(session.step(1)) == "a"


def test_a_session_is_not_changed_by_what_follows_it(gallery: Gallery) -> None:
    session = Session.start(gallery)
    before = (session.listing, session.chosen, session.page, session.sample, session.uploads)
    session.upload(gallery.entries[0]).narrow(Filter(count=1)).sort("pixels").turn(1).show_sample(2)
    assert (session.listing, session.chosen, session.page, session.sample, session.uploads) == before


def test_what_is_not_there_is_refused(gallery: Gallery) -> None:
    session = Session.start(gallery)
    with pytest.raises(InputError, match="no scene 5"):
        session.choose(5)
    with pytest.raises(InputError, match="no scene -1"):
        session.choose(-1)
    with pytest.raises(InputError, match="sample -1"):
        session.show_sample(-1)
