"""The fixtures that the tests of experiments share with those of air3d."""

from tests.air3d.conftest import _one_thread, bytes_images, no_scene_in_two, read_page
from tests.air3d.digits.conftest import small

__all__ = ["_one_thread", "bytes_images", "no_scene_in_two", "read_page", "small"]
