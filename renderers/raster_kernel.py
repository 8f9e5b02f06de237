"""The triangle loop of backend `raster`, compiled by numba. It follows OpenGL 2 with MuJoCo's settings.

Vertices are lit once (Gouraud: ambient + diffuse * max(0, n . l)), snapped to 1/256 pixel as rasterisers with that
subpixel precision do, and interpolated with perspective correction. A pixel belongs to a triangle if its centre lies
inside, or on a top or left edge; these tests are in integers, so neighbours never both claim a pixel or leave one out.
Of two equal depths the later triangle stays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.compiled import compiled

# Numba compiles for the types it meets and reads no annotations; the docstrings say what is expected.
Array = NDArray[Any]

# Columns of a drawn object.
ROTATION, POSITION, COLOUR, SCALE = slice(0, 9), slice(9, 12), slice(12, 15), 15
OBJECT_COLUMNS = 16
# Columns of a view; the camera's second axis is scaled by fy / fx.
CAMERA, EYE, TO_LIGHT, DIFFUSE, AMBIENT = slice(0, 9), slice(9, 12), slice(12, 15), 15, 16
FOCAL, PRINCIPAL = 17, slice(18, 20)
# The further lamps: directions towards them, times their brightness.
LAMPS = slice(20, 29)
VIEW_COLUMNS = 29

_f = np.float32
_FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}
# Snapped coordinates stay below this, so that products of two differences fit into 64 bits.
_FAR_AWAY = _f(1 << 28)
# Of one mesh in one view, so many triangles at most are cut at the near plane; more are dropped.
_MOST_CUT = 512


@compiled(nogil=True, fastmath=_FAST, error_model="numpy")
def draw(
    vertices: Array,
    faces: Array,
    vertex_range: Array,
    face_range: Array,
    mip_range: Array,
    mips: Array,
    objects: Array,
    ids: Array,
    views: Array,
    near: float,
    rgb: Array,
    inverse: Array,
    segment: Array,
) -> None:
    """Draw B scenes.

    Args:
        vertices: (8, V) float32: position, unit normal, u, v; all meshes one after the other.
        faces: (F, 3) int32 indices into the vertices.
        vertex_range, face_range: (M, 2) int32 for each mesh.
        mip_range: (P, 3) int32: first texel of the finest level in `mips`, its side, number of levels; side 0: none.
        mips: (T, 3) float32 texels in [0, 1], square levels one after the other, each half the side of the last.
        objects: (B, N, OBJECT_COLUMNS) float32 in drawing order.
        ids: (B, N, 3) int32: mesh (-1: nothing), value in the segmentation, row of `mip_range`.
        views: (B, VIEW_COLUMNS) float32.
        near: the distance of the near plane, metres.
        rgb: (B, H, W, 3) uint8, inverse: (B, H, W) float32 (1 / depth, 0 where nothing), segment: (B, H, W) uint8;
            all three are overwritten.
    """
    height, width = rgb.shape[1], rgb.shape[2]
    count = vertices.shape[1]
    # Of every vertex: snapped column and row in 1/256 pixel, 1 / depth, brightness.
    # The ends have room for the corners, two a triangle, that the near plane cuts off.
    room = count + 2 * _MOST_CUT
    column, row = np.empty(room, np.int32), np.empty(room, np.int32)
    nearness, bright = np.empty(room, np.float32), np.empty(room, np.float32)
    uv = np.empty((2, room), np.float32)
    uv[:, :count] = vertices[6:8]
    cut = np.empty((2 * _MOST_CUT, 3), np.int32)
    nearest = _f(1.0) / _f(near)
    for b in range(rgb.shape[0]):
        rgb[b] = 0
        inverse[b] = _f(0.0)
        segment[b] = 0
        for n in range(ids.shape[1]):
            mesh = ids[b, n, 0]
            if mesh < 0:
                continue
            first, last = vertex_range[mesh, 0], vertex_range[mesh, 1]
            _transform(vertices, first, last, objects[b, n], views[b], column, row, nearness, bright)
            red, green, blue = objects[b, n, 12], objects[b, n, 13], objects[b, n, 14]
            label = np.uint8(ids[b, n, 1])
            paint = ids[b, n, 2]
            texture, side, levels = mip_range[paint, 0], mip_range[paint, 1], mip_range[paint, 2]
            whole, pieces = face_range[mesh, 1], 0
            if _any_behind(nearness, first, last, nearest):
                own = faces[face_range[mesh, 0] : whole]
                pieces = _cut(vertices, own, objects[b, n], views[b], near, column, row, nearness, bright, uv, cut)
            for f in range(face_range[mesh, 0], whole + pieces):
                if f < whole:
                    i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
                else:
                    i, j, k = cut[f - whole, 0], cut[f - whole, 1], cut[f - whole, 2]
                x0, x1, x2 = int(column[i]), int(column[j]), int(column[k])
                y0, y1, y2 = int(row[i]), int(row[j]), int(row[k])
                # Rows grow downwards: what faces us, counter-clockwise in the world, has negative area. The rest is
                # hidden, for meshes are closed.
                area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
                if area >= 0:
                    continue
                # First and last pixel whose centre (256 p + 128) lies within the bounds.
                left, right = max((min(x0, x1, x2) + 127) >> 8, 0), min((max(x0, x1, x2) - 128) >> 8, width - 1)
                top, bottom = max((min(y0, y1, y2) + 127) >> 8, 0), min((max(y0, y1, y2) - 128) >> 8, height - 1)
                if left > right or top > bottom:
                    continue
                z0, z1, z2 = nearness[i], nearness[j], nearness[k]
                # Of what reaches behind the near plane, the pieces before it follow at the end.
                if min(z0, z1, z2) <= _f(0.0) or max(z0, z1, z2) > nearest:
                    continue
                # Edge functions, positive inside; their values at the first pixel's centre.
                ax, ay, bx, by, cx, cy = y2 - y1, x1 - x2, y0 - y2, x2 - x0, y1 - y0, x0 - x1
                px, py = (left << 8) + 128, (top << 8) + 128
                # One less where the edge is neither top nor left: zero is then outside.
                a = ax * (px - x1) + ay * (py - y1) - (0 if ax > 0 or (ax == 0 and ay > 0) else 1)
                e = bx * (px - x2) + by * (py - y2) - (0 if bx > 0 or (bx == 0 and by > 0) else 1)
                c = cx * (px - x0) + cy * (py - y0) - (0 if cx > 0 or (cx == 0 and cy > 0) else 1)
                # Gradients of 1 / depth and of brightness / depth, both linear on the screen.
                scale = _f(-1.0) / _f(area)
                wa, wb = _f(a) * scale, _f(e) * scale
                wax, wbx = _f(ax) * scale * _f(256.0), _f(bx) * scale * _f(256.0)
                way, wby = _f(ay) * scale * _f(256.0), _f(by) * scale * _f(256.0)
                s0, s1, s2 = bright[i] * z0, bright[j] * z1, bright[k] * z2
                z_row = z2 + wa * (z0 - z2) + wb * (z1 - z2)
                z_dx, z_dy = wax * (z0 - z2) + wbx * (z1 - z2), way * (z0 - z2) + wby * (z1 - z2)
                s_row = s2 + wa * (s0 - s2) + wb * (s1 - s2)
                s_dx, s_dy = wax * (s0 - s2) + wbx * (s1 - s2), way * (s0 - s2) + wby * (s1 - s2)
                flat = bright[i] == bright[j] and bright[j] == bright[k] and side == 0
                paint = _pack(red * bright[i], green * bright[i], blue * bright[i])
                level = _mip_level(uv, i, j, k, wax, way, wbx, wby, side, levels) if side else _f(0.0)
                for y in range(top, bottom + 1):
                    ea, eb, ec = a, e, c
                    z, s = z_row, s_row
                    entered = False
                    for x in range(left, right + 1):
                        if (ea | eb | ec) >= 0:
                            entered = True
                            if z >= inverse[b, y, x]:
                                inverse[b, y, x] = z
                                segment[b, y, x] = label
                                if flat:
                                    packed = paint
                                elif side == 0:
                                    light = s / z
                                    packed = _pack(red * light, green * light, blue * light)
                                else:
                                    light = s / z
                                    wi, wj = _f(ea) * scale * z0 / z, _f(eb) * scale * z1 / z
                                    packed = _textured(
                                        uv, i, j, k, wi, wj, red * light, green * light, blue * light,
                                        level, texture, side, levels, mips,
                                    )  # fmt: skip
                                rgb[b, y, x, 0] = np.uint8(packed)
                                rgb[b, y, x, 1] = np.uint8(packed >> np.uint32(8))
                                rgb[b, y, x, 2] = np.uint8(packed >> np.uint32(16))
                        elif entered:
                            break
                        ea += ax << 8
                        eb += bx << 8
                        ec += cx << 8
                        z += z_dx
                        s += s_dx
                    a += ay << 8
                    e += by << 8
                    c += cy << 8
                    z_row += z_dy
                    s_row += s_dy


@compiled(nogil=True, fastmath=_FAST, error_model="numpy")
def _transform(
    vertices: Array,
    first: int,
    last: int,
    item: Array,
    view: Array,
    column: Array,
    row: Array,
    nearness: Array,
    bright: Array,
) -> None:
    """Project and light the vertices of one object, into `column`, `row`, `nearness` and `bright`."""
    m00 = view[0] * item[0] + view[1] * item[3] + view[2] * item[6]
    m01 = view[0] * item[1] + view[1] * item[4] + view[2] * item[7]
    m02 = view[0] * item[2] + view[1] * item[5] + view[2] * item[8]
    m10 = view[3] * item[0] + view[4] * item[3] + view[5] * item[6]
    m11 = view[3] * item[1] + view[4] * item[4] + view[5] * item[7]
    m12 = view[3] * item[2] + view[4] * item[5] + view[5] * item[8]
    m20 = view[6] * item[0] + view[7] * item[3] + view[8] * item[6]
    m21 = view[6] * item[1] + view[7] * item[4] + view[8] * item[7]
    m22 = view[6] * item[2] + view[7] * item[5] + view[8] * item[8]
    dx, dy, dz = item[9] - view[9], item[10] - view[10], item[11] - view[11]
    t0 = view[0] * dx + view[1] * dy + view[2] * dz
    t1 = view[3] * dx + view[4] * dy + view[5] * dz
    t2 = view[6] * dx + view[7] * dy + view[8] * dz
    # The light in the object's frame; the object's matrix is a rotation times its scale.
    l0 = (item[0] * view[12] + item[3] * view[13] + item[6] * view[14]) / item[15]
    l1 = (item[1] * view[12] + item[4] * view[13] + item[7] * view[14]) / item[15]
    l2 = (item[2] * view[12] + item[5] * view[13] + item[8] * view[14]) / item[15]
    focal, diffuse, ambient = view[17] * _f(256.0), view[15], view[16]
    middle_x, middle_y = view[18] * _f(256.0), view[19] * _f(256.0)
    for v in range(first, last):
        x, y, z = vertices[0, v], vertices[1, v], vertices[2, v]
        inv = _f(-1.0) / (m20 * x + m21 * y + m22 * z + t2)
        across = middle_x + focal * (m00 * x + m01 * y + m02 * z + t0) * inv
        down = middle_y - focal * (m10 * x + m11 * y + m12 * z + t1) * inv
        column[v] = np.int32(math.floor(min(max(across, -_FAR_AWAY), _FAR_AWAY) + _f(0.5)))
        row[v] = np.int32(math.floor(min(max(down, -_FAR_AWAY), _FAR_AWAY) + _f(0.5)))
        nearness[v] = inv
        facing = vertices[3, v] * l0 + vertices[4, v] * l1 + vertices[5, v] * l2
        bright[v] = ambient + diffuse * max(facing, _f(0.0))
    for lamp in range(20, 29, 3):
        if view[lamp] == _f(0.0) and view[lamp + 1] == _f(0.0) and view[lamp + 2] == _f(0.0):
            continue
        l0 = (item[0] * view[lamp] + item[3] * view[lamp + 1] + item[6] * view[lamp + 2]) / item[15]
        l1 = (item[1] * view[lamp] + item[4] * view[lamp + 1] + item[7] * view[lamp + 2]) / item[15]
        l2 = (item[2] * view[lamp] + item[5] * view[lamp + 1] + item[8] * view[lamp + 2]) / item[15]
        for v in range(first, last):
            bright[v] += max(vertices[3, v] * l0 + vertices[4, v] * l1 + vertices[5, v] * l2, _f(0.0))


@compiled(nogil=True, fastmath=_FAST, error_model="numpy")
def _any_behind(nearness: Array, first: int, last: int, nearest: Any) -> bool:
    """Tell whether a vertex is behind the near plane."""
    found = False
    for v in range(first, last):
        found |= nearness[v] <= _f(0.0) or nearness[v] > nearest
    return found


@compiled(nogil=True, fastmath=_FAST, error_model="numpy")
def _cut(
    vertices: Array,
    faces: Array,
    item: Array,
    view: Array,
    near: float,
    column: Array,
    row: Array,
    nearness: Array,
    bright: Array,
    uv: Array,
    cut: Array,
) -> int:
    """Cut the triangles that the near plane crosses; write what is before it into `cut`, and return how many it is.

    New corners are written behind the vertices: Sutherland and Hodgman, "Reentrant polygon clipping", 1974.
    """
    count, pieces = vertices.shape[1], 0
    free = count
    nearest, far_away = _f(1.0) / _f(near), _FAR_AWAY
    focal = view[17] * _f(256.0)
    place, depth, corner = np.empty((3, 2), np.float32), np.empty(3, np.float32), np.empty(4, np.int32)
    for f in range(faces.shape[0]):
        ahead = 0
        for c in range(3):
            z = nearness[faces[f, c]]
            ahead += 1 if _f(0.0) < z <= nearest else 0
        if ahead == 0 or ahead == 3 or pieces + 2 > cut.shape[0] or free + 2 > column.shape[0]:
            continue
        for c in range(3):
            v = faces[f, c]
            x, y, z = vertices[0, v], vertices[1, v], vertices[2, v]
            wx = item[0] * x + item[1] * y + item[2] * z + item[9] - view[9]
            wy = item[3] * x + item[4] * y + item[5] * z + item[10] - view[10]
            wz = item[6] * x + item[7] * y + item[8] * z + item[11] - view[11]
            place[c, 0] = view[0] * wx + view[1] * wy + view[2] * wz
            place[c, 1] = view[3] * wx + view[4] * wy + view[5] * wz
            depth[c] = -(view[6] * wx + view[7] * wy + view[8] * wz)
        size = 0
        for c in range(3):
            d = (c + 1) % 3
            here, there = faces[f, c], faces[f, d]
            inside = _f(0.0) < nearness[here] <= nearest
            if inside:
                corner[size] = here
                size += 1
            if inside == (_f(0.0) < nearness[there] <= nearest):
                continue
            t = (_f(near) - depth[c]) / (depth[d] - depth[c])
            t = min(max(t, _f(0.0)), _f(1.0))
            across = view[18] * _f(256.0) + focal * (place[c, 0] + t * (place[d, 0] - place[c, 0])) * nearest
            down = view[19] * _f(256.0) - focal * (place[c, 1] + t * (place[d, 1] - place[c, 1])) * nearest
            column[free] = np.int32(math.floor(min(max(across, -far_away), far_away) + _f(0.5)))
            row[free] = np.int32(math.floor(min(max(down, -far_away), far_away) + _f(0.5)))
            nearness[free] = nearest
            bright[free] = bright[here] + t * (bright[there] - bright[here])
            uv[0, free] = uv[0, here] + t * (uv[0, there] - uv[0, here])
            uv[1, free] = uv[1, here] + t * (uv[1, there] - uv[1, here])
            corner[size] = free
            size += 1
            free += 1
        for c in range(size - 2):
            cut[pieces, 0], cut[pieces, 1], cut[pieces, 2] = corner[0], corner[c + 1], corner[c + 2]
            pieces += 1
    return pieces


@compiled(nogil=True, fastmath=_FAST, error_model="numpy")
def _pack(red: Any, green: Any, blue: Any) -> Any:
    """Pack a colour in [0, inf) as 0xBBGGRR, cut at 1 and rounded."""
    r = np.uint32(min(red, _f(1.0)) * _f(255.0) + _f(0.5))
    g = np.uint32(min(green, _f(1.0)) * _f(255.0) + _f(0.5))
    b = np.uint32(min(blue, _f(1.0)) * _f(255.0) + _f(0.5))
    return r | (g << np.uint32(8)) | (b << np.uint32(16))


@compiled(nogil=True, fastmath=_FAST, error_model="numpy")
def _mip_level(
    uv: Array, i: int, j: int, k: int, wax: Any, way: Any, wbx: Any, wby: Any, side: int, levels: int
) -> Any:
    """Choose the level of detail of a triangle's texture, in [0, levels - 1].

    OpenGL takes the larger stretch of texels along x or y of the screen at each pixel; here it is the whole triangle's.
    """
    u2, v2 = uv[0, k], uv[1, k]
    du0, du1 = uv[0, i] - u2, uv[0, j] - u2
    dv0, dv1 = uv[1, i] - v2, uv[1, j] - v2
    ux, uy = wax * du0 + wbx * du1, way * du0 + wby * du1
    vx, vy = wax * dv0 + wbx * dv1, way * dv0 + wby * dv1
    stretch = side * math.sqrt(max(ux * ux + vx * vx, uy * uy + vy * vy))
    return _f(min(max(math.log2(max(stretch, 1e-6)), 0.0), levels - 1.0))


@compiled(nogil=True, fastmath=_FAST, error_model="numpy")
def _textured(
    uv: Array,
    i: int,
    j: int,
    k: int,
    wi: Any,
    wj: Any,
    red: Any,
    green: Any,
    blue: Any,
    level: Any,
    texture: int,
    side: int,
    levels: int,
    mips: Array,
) -> Any:
    """Colour of a pixel at perspective-correct weights wi, wj (of i and j): trilinear, repeating at the borders."""
    u2, v2 = uv[0, k], uv[1, k]
    u = u2 + wi * (uv[0, i] - u2) + wj * (uv[0, j] - u2)
    v = v2 + wi * (uv[1, i] - v2) + wj * (uv[1, j] - v2)
    low = int(level)
    share = level - _f(low)
    r, g, b = _bilinear(mips, texture, side, low, u, v)
    if share > _f(0.0) and low + 1 < levels:
        r2, g2, b2 = _bilinear(mips, texture, side, low + 1, u, v)
        r, g, b = r + share * (r2 - r), g + share * (g2 - g), b + share * (b2 - b)
    one = _f(1.0)
    return _pack(min(red, one) * r, min(green, one) * g, min(blue, one) * b)


@compiled(nogil=True, fastmath=_FAST, error_model="numpy")
def _bilinear(mips: Array, texture: int, finest: int, level: int, u: Any, v: Any) -> Any:
    """Colour at (u, v) of one level of the texture that starts at texel `texture`, whose finest side is `finest`."""
    side = finest >> level
    first = texture + 4 * (finest * finest - side * side) // 3
    x, y = u * _f(side) - _f(0.5), v * _f(side) - _f(0.5)
    x0, y0 = np.int64(math.floor(x)), np.int64(math.floor(y))
    fx, fy = x - _f(x0), y - _f(y0)
    last = side - 1
    left, right = x0 & last, (x0 + 1) & last
    upper, lower = first + (y0 & last) * side, first + ((y0 + 1) & last) * side
    a, b, c, d = np.uintp(upper + left), np.uintp(upper + right), np.uintp(lower + left), np.uintp(lower + right)
    one = _f(1.0)
    wa, wb, wc, wd = (one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy
    return (
        wa * mips[a, 0] + wb * mips[b, 0] + wc * mips[c, 0] + wd * mips[d, 0],
        wa * mips[a, 1] + wb * mips[b, 1] + wc * mips[c, 1] + wd * mips[d, 1],
        wa * mips[a, 2] + wb * mips[b, 2] + wc * mips[c, 2] + wd * mips[d, 2],
    )
