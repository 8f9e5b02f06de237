"""A mixture over rotations: the posterior of how an object is turned, uniform at first, multi-modal where it must be.

A rotation is named in two: where it takes the z axis, a mixture of Fisher's distributions on the sphere, and the turn
about that axis, a mixture of wrapped normals given it. An object that rests has its axis known almost exactly and its
turn hardly; a mixture over rotations as a whole spends itself on the axis, for whichever component has found that
takes all, whatever its turn. Densities are per unit of volume of rotations, rad^3, in which SO(3) measures 8 pi^2: a
steradian of the axis times a radian of the turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from air3d.distributions.axes import FisherMixture
from air3d.distributions.circle import WrappedNormalMixture

LOG_VOLUME = math.log(8.0 * math.pi**2)
_LOG_2PI, _LOG_4PI = math.log(2.0 * math.pi), math.log(4.0 * math.pi)


@dataclass(frozen=True)
class RotationMixture:
    """Parameters of the distribution of rotations (...).

    Attributes:
        axis: the mixture of where z is taken.
        turn: gives the mixture of the turn, given axes (..., 3): the turn comes before the shortest rotation from z.
        round: (...) bool, where the turn is uniform: that of a body that is round about z.
        ball: (...) bool, where the axis is uniform, too.
    """

    axis: FisherMixture
    turn: Callable[[Tensor], WrappedNormalMixture]
    round: Tensor
    ball: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw rotations (..., 4), unit quaternions with w >= 0; no gradient flows through."""
        with torch.no_grad():
            axis = self.axis.sample(generator)
            if bool(self.ball.any()):
                gaussian = torch.randn(axis.shape, generator=generator, device=axis.device, dtype=axis.dtype)
                anywhere = torch.nn.functional.normalize(gaussian, dim=-1)
                axis = torch.where(self.ball[..., None], anywhere, axis)
            drawn = self.turn(axis).sample(generator)
            u = torch.rand(drawn.shape, generator=generator, device=axis.device, dtype=axis.dtype)
            turn = torch.where(self.round | self.ball, 2.0 * math.pi * u, drawn)
            return upper(multiply(shortest_to(axis), about_z(turn)))

    def log_prob(self, rotation_wxyz: Tensor) -> Tensor:
        """The log-density (...) at unit quaternions (..., 4), of either sign, per rad^3."""
        where, about = self.log_prob_parts(rotation_wxyz)
        return where + about

    def log_prob_parts(self, rotation_wxyz: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the axis, per steradian, and of the turn about it, per radian, both (...)."""
        axis = axis_of(rotation_wxyz)
        about = self.turn(axis).log_prob(yaw_of(multiply(conjugate(shortest_to(axis)), rotation_wxyz)))
        where = torch.where(self.ball, -_LOG_4PI, self.axis.log_prob(axis))
        return where.expand_as(about), torch.where(self.round | self.ball, -_LOG_2PI, about)

    def mode(self, blur: float = 0.0) -> Tensor:
        """The most probable axis, then the most probable turn about it, (..., 4) with w >= 0; each is a component's
        centre, after a blur of so many radians."""
        axis = self.axis.mode(blur)
        return upper(multiply(shortest_to(axis), about_z(self.turn(axis).mode(blur))))


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """The products (..., 4) of quaternions: the rotation b, then a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


def conjugate(rotation_wxyz: Tensor) -> Tensor:
    """The inverse rotations of unit quaternions (..., 4)."""
    return torch.cat([rotation_wxyz[..., :1], -rotation_wxyz[..., 1:]], dim=-1)


def shortest_to(axis: Tensor) -> Tensor:
    """The shortest rotations (..., 4) that turn z to unit vectors (..., 3); to -z, one of them."""
    x, y, z = axis.unbind(-1)
    opposite = z < 1e-7 - 1.0  # half a turn about x
    half = torch.stack([1.0 + z, torch.where(opposite, 1.0, -y), x, torch.zeros_like(x)], dim=-1)
    return torch.nn.functional.normalize(half, dim=-1)


def axis_of(rotation_wxyz: Tensor) -> Tensor:
    """Where rotations (..., 4) take the z axis: unit vectors (..., 3)."""
    z = torch.zeros_like(rotation_wxyz[..., 1:])
    z[..., 2] = 1.0
    return rotate(rotation_wxyz, z)


def about_z(angle_rad: Tensor) -> Tensor:
    """The turns (..., 4) about z, counter-clockwise seen from above."""
    half, zero = 0.5 * angle_rad, torch.zeros_like(angle_rad)
    return torch.stack([torch.cos(half), zero, zero, torch.sin(half)], dim=-1)


def yaw_of(rotation_wxyz: Tensor) -> Tensor:
    """The angles (...) in [-pi, pi] of the turns about z; see `air3d.scene3d.poses.yaw_of`."""
    w, z = upper(rotation_wxyz)[..., 0], upper(rotation_wxyz)[..., 3]
    return 2.0 * torch.atan2(z, w)


def upper(rotation_wxyz: Tensor) -> Tensor:
    """The same rotations (..., 4) with w >= 0."""
    return torch.where(rotation_wxyz[..., :1] < 0.0, -rotation_wxyz, rotation_wxyz)


def rotate(rotation_wxyz: Tensor, vector: Tensor) -> Tensor:
    """Turn vectors (..., 3) by unit quaternions (..., 4)."""
    w, axis = rotation_wxyz[..., :1], rotation_wxyz[..., 1:]
    axis, vector = torch.broadcast_tensors(axis, vector)
    twice = 2.0 * torch.linalg.cross(axis, vector)
    return vector + w * twice + torch.linalg.cross(axis, twice)


def matrix(rotation_wxyz: Tensor) -> Tensor:
    """The rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    w, x, y, z = rotation_wxyz.unbind(-1)
    rows = [
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        (2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def from_matrix(matrix: Tensor) -> Tensor:
    """The unit quaternions (..., 4), w >= 0, of rotation matrices (..., 3, 3).

    Of the four products of the quaternion with one of its parts, that with the largest is taken (Shepperd 1978).
    """
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrix.unbind(-2))
    products = torch.stack(
        [
            torch.stack([1.0 + a + e + i, h - f, c - g, d - b], -1),
            torch.stack([h - f, 1.0 + a - e - i, b + d, c + g], -1),
            torch.stack([c - g, b + d, 1.0 - a + e - i, f + h], -1),
            torch.stack([d - b, c + g, f + h, 1.0 - a - e + i], -1),
        ],
        -2,
    )
    largest = products.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    chosen = products.gather(-2, largest.expand(*largest.shape[:-1], 4))[..., 0, :]
    return upper(torch.nn.functional.normalize(chosen, dim=-1))


def exponential(vector: Tensor) -> Tensor:
    """The unit quaternions (..., 4) of rotation vectors (..., 3), radians."""
    half = 0.5 * torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    # torch.sinc(x) is sin(pi x) / (pi x), smooth at 0.
    return torch.cat([torch.cos(half), 0.5 * torch.sinc(half / math.pi) * vector], dim=-1)


def logarithm(rotation_wxyz: Tensor) -> Tensor:
    """The rotation vectors (..., 3), of length at most pi, of unit quaternions (..., 4)."""
    rotation_wxyz = upper(rotation_wxyz)
    sine = torch.linalg.vector_norm(rotation_wxyz[..., 1:], dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(sine, rotation_wxyz[..., :1])
    # angle / sine tends to 2 / w.
    ratio = torch.where(sine > 1e-7, angle / sine.clamp_min(1e-7), 2.0 / rotation_wxyz[..., :1].clamp_min(0.5))
    return ratio * rotation_wxyz[..., 1:]
