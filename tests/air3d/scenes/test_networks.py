"""The guide's networks look where they are told to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize
from air3d.scenes.networks import CELL, CameraEncoder, Trunk, Window, at_pixels


def windows(pictures: Tensor, centre: list[list[list[float]]], side: int) -> Tensor:
    """The windows themselves, (B, K, C * side * side)."""
    window = Window(pictures.shape[1], side, (24, 32), 4)
    window.layers = nn.Sequential(nn.Flatten())
    return torch.as_tensor(window(pictures, torch.tensor(centre))).unflatten(-1, (pictures.shape[1], side, side))


def test_a_window_of_odd_side_is_a_crop() -> None:
    pictures = torch.rand((2, 5, 16, 16), generator=torch.Generator().manual_seed(0))
    crops = windows(pictures, [[[7.0, 9.0], [4.0, 11.0], [0.0, 15.0]], [[8.0, 8.0], [2.0, 3.0], [13.0, 2.0]]], 5)
    assert torch.allclose(crops[0, 0], pictures[0, :, 7:12, 5:10], atol=1e-4)
    assert torch.allclose(crops[0, 1], pictures[0, :, 9:14, 2:7], atol=1e-4)
    assert torch.allclose(crops[1, 0], pictures[1, :, 6:11, 6:11], atol=1e-4)
    assert torch.allclose(crops[1, 2], pictures[1, :, 0:5, 11:16], atol=1e-4)
    corner = crops[0, 2]
    assert torch.allclose(corner[:, :3, 2:], pictures[0, :, 13:, :3], atol=1e-4)
    assert corner[:, 3:].abs().max() == 0.0 and corner[:, :, :2].abs().max() == 0.0, "outside is 0"


def test_a_window_of_even_side_is_centred_between_pixels() -> None:
    pictures = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(windows(pictures, [[[7.5, 9.5]]], 4)[0, 0], pictures[0, :, 8:12, 6:10], atol=1e-4)


def test_features_are_read_at_their_cells() -> None:
    """A cell's centre is at CELL * index + (CELL - 1) / 2; between two centres is their mean."""
    maps = torch.rand((2, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    middle = (CELL - 1) / 2.0
    pixel = torch.tensor([[[CELL * 2 + middle, CELL * 1 + middle], [CELL * 0.5 + middle, CELL * 3 + middle]]])
    size = ImageSize(4 * CELL, 4 * CELL)
    found = at_pixels(maps, pixel.expand(2, -1, -1), size)
    assert found.shape == (2, 2, 3)
    assert torch.allclose(found[:, 0], maps[:, :, 1, 2], atol=1e-5)
    assert torch.allclose(found[:, 1], (maps[:, :, 3, 0] + maps[:, :, 3, 1]) / 2.0, atol=1e-5)
    outside = at_pixels(maps, torch.tensor([[[-9.0, -9.0]]]).expand(2, -1, -1), size)
    assert torch.allclose(outside[:, 0], maps[:, :, 0, 0], atol=1e-5), "beyond the edge, the edge"


@pytest.mark.parametrize("size", [16, 24, 64])
def test_a_trunk_has_a_feature_for_every_cell_and_a_view_of_the_whole(size: int) -> None:
    trunk = Trunk(4, (3, 5, 7))
    looked = trunk(torch.rand(2, 4, size, size))
    assert looked.maps.shape == (2, 5, size // CELL, size // CELL)
    assert looked.whole.shape == (2, 2 * 5 + 7)
    assert CameraEncoder(3, ImageSize(size, size), (3, 4, 5), 6)(torch.rand(2, 3, size, size)).shape == (2, 6)


def test_what_is_far_away_is_seen_through_the_context() -> None:
    """Three-by-three convolutions alone would not reach from one corner of a large picture to the other."""
    trunk = Trunk(1, (3, 5, 7))
    dark = torch.zeros(1, 1, 128, 128)
    spot = dark.clone()
    spot[0, 0, 4:12, 4:12] = 5.0
    change = (trunk(spot).maps - trunk(dark).maps).abs().amax((0, 1))
    assert change[-1, -1] > 0.0
    assert change[2, 2] > 10.0 * change[-1, -1]


@pytest.mark.parametrize("shrink", [1, 2, 3, 4])
def test_a_shrunk_trunk_sees_every_pixel_and_its_cells_see_as_much_farther(shrink: int) -> None:
    """Field of view of a feature after both halvings: 7 pixels where nothing is shrunk; 8 times the factor less one."""
    trunk = Trunk(1, (3, 5, 7), shrink)
    picture = torch.rand(1, 1, 32 * shrink, 32 * shrink, requires_grad=True)
    features = trunk.down(picture)
    assert features.shape[-1] == 8
    (everywhere,) = torch.autograd.grad(features.sum(), picture, retain_graph=True)
    assert (everywhere != 0.0).all(), "no pixel is left out"
    (seen,) = torch.autograd.grad(features[..., 4, 3].sum(), picture)
    rows, columns = (seen[0, 0] != 0.0).any(1).nonzero()[:, 0], (seen[0, 0] != 0.0).any(0).nonzero()[:, 0]
    for found, cell in ((rows, 4), (columns, 3)):
        assert found.tolist() == list(range(int(found[0]), int(found[-1]) + 1)), "without gaps"
        assert len(found) == 8 * shrink - 1
        assert float(found.double().mean()) == CELL * shrink * cell, "around the cell's first pixel"


def test_shrunk_trunk_has_larger_cells() -> None:
    """A picture twice as large gives as many cells; each sees twice as far."""
    trunk = Trunk(4, (3, 5, 7), shrink=2)
    assert trunk(torch.rand(2, 4, 64, 64)).maps.shape == (2, 5, 64 // (2 * CELL), 64 // (2 * CELL))
