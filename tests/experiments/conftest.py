"""The fixtures that the tests of experiments share with those of air3d."""

from tests.air3d.conftest import _one_thread, no_scene_in_two, read_page

__all__ = ["_one_thread", "no_scene_in_two", "read_page"]
