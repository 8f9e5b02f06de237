"""A mixture over rotations: the posterior of how an object is turned, uniform at first, multi-modal where it must be.

Each component is a Gaussian in the tangent space of its centre, wrapped onto SO(3): R = C exp(v), v ~ N(0, diag(s^2)).
Densities are per unit of volume of rotations, rad^3, in which SO(3) measures 8 pi^2. A rotation vector v of length t
stretches volumes by (2 - 2 cos t) / t^2 (Chirikjian, Stochastic Models, Information Theory, and Lie Groups 2, 2012).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from air3d.distributions.circle import sample_categorical

LOG_VOLUME = math.log(8.0 * math.pi**2)
# As on the circle: the nearest neglected wrap is 3 pi away.
MAX_SCALE = 0.8
_WRAPS = 1
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
# Rotation vectors shorter than this are taken for it where a wrap divides by their length.
_TINY = 1e-4


class RotationMixture(NamedTuple):
    """Parameters of the mixture of M components.

    Attributes:
        logits: (..., M), unnormalised log-weights.
        loc: (..., M, 4), centres, unit quaternions (w, x, y, z).
        scale: (..., M, 3), standard deviations about the axes of the turned object, radians, below MAX_SCALE.
    """

    logits: Tensor
    loc: Tensor
    scale: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw rotations (..., 4), unit quaternions with w >= 0; no gradient flows through."""
        with torch.no_grad():
            component = sample_categorical(self.logits, generator)[..., None, None]
            loc = self.loc.gather(-2, component.expand(*component.shape[:-1], 4))[..., 0, :]
            scale = self.scale.gather(-2, component.expand(*component.shape[:-1], 3))[..., 0, :]
            noise = torch.randn(scale.shape, generator=generator, device=scale.device, dtype=scale.dtype)
            return upper(multiply(loc, exponential(scale * noise)))

    def log_prob(self, rotation_wxyz: Tensor) -> Tensor:
        """The log-density (...) at unit quaternions (..., 4), of either sign, per rad^3."""
        vector = logarithm(multiply(conjugate(self.loc), rotation_wxyz[..., None, :]))
        angle = torch.linalg.vector_norm(vector, dim=-1, keepdim=True).clamp_min(_TINY)
        turns = 2.0 * math.pi * torch.arange(-_WRAPS, _WRAPS + 1, device=angle.device, dtype=angle.dtype)
        wrapped = angle + turns  # (..., M, W), signed lengths of the vectors that give the same rotation
        offset = vector / angle / self.scale
        gaussian = -0.5 * offset.square().sum(-1, keepdim=True) * wrapped.square()
        # The middle wrap at a tiny angle is the vector itself, whose stretch is 1.
        stretch = (2.0 * torch.sin(angle / 2.0) / wrapped).square().log()
        each = torch.logsumexp(gaussian - stretch, dim=-1) - self.scale.log().sum(-1) - 3.0 * _LOG_SQRT_2PI
        return torch.logsumexp(torch.log_softmax(self.logits, -1) + each, dim=-1)

    def mode(self) -> Tensor:
        """The component centre of highest density, (..., 4), with w >= 0."""
        each = RotationMixture(self.logits[..., None, :], self.loc[..., None, :, :], self.scale[..., None, :, :])
        best = each.log_prob(self.loc).argmax(-1)[..., None, None]
        return upper(self.loc.gather(-2, best.expand(*best.shape[:-1], 4))[..., 0, :])


def spread(group: Literal["O", "I"] = "I") -> Tensor:
    """The centres of a mixture's components, spread evenly over SO(3): (M, 4).

    Args:
        group: the rotations of an octahedron, "O" (24), or of an icosahedron, "I" (60).
    """
    return upper(torch.from_numpy(Rotation.create_group(group).as_quat(scalar_first=True)).float())


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
    return torch.nn.functional.normalize(
        torch.stack([(1.0 + z).clamp_min(1e-6), -y, x, torch.zeros_like(x)], dim=-1), dim=-1
    )


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


def flat_scale(raw: Tensor, least: float, components: int) -> Tensor:
    """Scales from `least` to MAX_SCALE from a network's outputs.

    Where these are 0, the mixture of `components` spread evenly is flat within some 3 %: the scale is half the edge of
    a cube of a component's share of SO(3).
    """
    first = min(0.5 * (8.0 * math.pi**2 / components) ** (1.0 / 3.0) / MAX_SCALE, 0.95)
    return least + (MAX_SCALE - least) * torch.sigmoid(raw - math.log(1.0 / first - 1.0))
