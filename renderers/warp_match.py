"""Blurs textures so that MuJoCo Warp's rays see what MuJoCo's OpenGL renderer draws."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from air3d.renderers.mesh_corners import face_meshes
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.textures import TILE_M, WORN


def blur_textures(model: mujoco.MjModel, height: int) -> None:
    """Average 2D textures in place over about a pixel of an image of `height` rows from the usual distance.

    This stands for the mipmaps of OpenGL.
    """
    usual = Orbit()
    pixel_m = float(usual.distance_m / usual.sized(height, height).focal_px[1])
    for texture in range(model.ntex):
        if model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D:
            continue
        h, w, channels = model.tex_height[texture], model.tex_width[texture], model.tex_nchannel[texture]
        texels = slice(model.tex_adr[texture], model.tex_adr[texture] + h * w * channels)
        width = pixel_m / _texel_m(model, texture)
        if width > 1.0:
            image = model.tex_data[texels].reshape(h, w, channels)
            model.tex_data[texels] = _blurred(image, width).ravel()


def _texel_m(model: mujoco.MjModel, texture: int) -> float:
    """The mean side of a texel, metres, on the meshes that wear the texture; infinite if none does.

    Those that anything may wear are laid onto meshes in a size of their own.
    """
    if model.texture(texture).name.startswith(f"{WORN}/"):
        return TILE_M / float(model.tex_width[texture])
    role = mujoco.mjtTextureRole.mjTEXROLE_RGB
    worn = [g for g in np.flatnonzero(model.geom_matid >= 0) if model.mat_texid[model.geom_matid[g], role] == texture]
    meshes = [mesh for mesh in model.geom_dataid[worn] if model.mesh_texcoordadr[mesh] >= 0]
    if not meshes:
        return np.inf
    faces = np.flatnonzero(face_meshes(model) == meshes[0])
    points = model.mesh_vert[model.mesh_face[faces] + model.mesh_vertadr[meshes[0]]].astype(np.float64)
    places = model.mesh_texcoord[model.mesh_facetexcoord[faces] + model.mesh_texcoordadr[meshes[0]]].astype(np.float64)
    sides, edges = np.diff(points, axis=1), np.diff(places, axis=1)
    area_m2 = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() / 2.0
    share = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).sum() / 2.0
    texels = share * model.tex_width[texture] * model.tex_height[texture]
    return float(np.sqrt(area_m2 / max(texels, 1e-9)))


def _blurred(image: NDArray[np.uint8], width: float) -> NDArray[np.uint8]:
    """Average the periodic image (h, w, channels) by a tent of `width` texels to either side."""
    h, w = image.shape[:2]
    tent = np.sinc(np.fft.fftfreq(h) * width)[:, None] ** 2 * np.sinc(np.fft.rfftfreq(w) * width) ** 2
    spectrum = np.fft.rfft2(image, axes=(0, 1)) * tent[..., None]
    smooth = np.fft.irfft2(spectrum, s=(h, w), axes=(0, 1))
    return np.clip(np.rint(smooth), 0.0, 255.0).astype(np.uint8)
