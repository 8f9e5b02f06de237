"""Warp kernels around MuJoCo Warp's ray caster: they turn scenes into its input arrays, and its output into pixels.

They repeat the geometry of `air3d.scene3d.compiler` on the device, so that an object goes there as its pose, scale and
colour; the tests hold both to each other.
"""

# Warp reads the annotations of a kernel as objects: no postponed evaluation in this file.

import warp as wp


@wp.kernel(enable_backward=False)
def place_objects(
    what: wp.array2d[wp.vec3i],
    numbers: wp.array3d[float],
    slot_geom: wp.array[int],
    kind_offset: wp.array[wp.vec3],
    kind_turn: wp.array[wp.mat33],
    kind_mesh: wp.array[int],
    kind_material: wp.array[int],
    texture_material: wp.array[int],
    geom_xpos: wp.array2d[wp.vec3],
    bounds_xmat: wp.array2d[wp.mat33],
    ray_xmat: wp.array2d[wp.mat33],
    geom_rgba: wp.array2d[wp.vec4],
    geom_dataid: wp.array2d[int],
    geom_matid: wp.array2d[int],
    shown: wp.array2d[wp.uint8],
) -> None:
    """Place objects, a thread for each world and slot: its geom takes the object's mesh, material, colour and frame.

    Args:
        what: (B, N), the kind, or -1 for none, the number that the segmentation gives the object, its texture, or -1.
        numbers: (B, N, 16) the three upper rows of the object's frame, scale, red, green, blue.
        slot_geom: (N,), the geoms.
        kind_offset, kind_turn, kind_mesh, kind_material: one a kind; MuJoCo moves a mesh to its own inertia frame.
        texture_material: one a texture.
        geom_xpos, bounds_xmat, ray_xmat, geom_rgba, geom_dataid, geom_matid, shown: (B, geoms), written.
    """
    world, slot = wp.tid()
    geom = slot_geom[slot]
    kind = what[world, slot][0]
    if kind < 0:
        # Alpha 0 is what the ray caster takes for absent.
        geom_rgba[world, geom] = wp.vec4(0.0, 0.0, 0.0, 0.0)
        geom_dataid[world, geom] = -1
        geom_xpos[world, geom] = wp.vec3(0.0, 0.0, 0.0)
        shown[world, geom] = wp.uint8(0)
        return
    own = numbers[world, slot]
    scale = own[12]
    turn = wp.mat33(own[0], own[1], own[2], own[4], own[5], own[6], own[8], own[9], own[10])
    place = wp.vec3(own[3], own[7], own[11])
    rotation = turn * kind_turn[kind]
    geom_xpos[world, geom] = place + scale * (turn * kind_offset[kind])
    bounds_xmat[world, geom] = rotation * scale
    ray_xmat[world, geom] = rotation / scale
    geom_rgba[world, geom] = wp.vec4(own[13], own[14], own[15], 1.0)
    geom_dataid[world, geom] = kind_mesh[kind]
    worn = what[world, slot][2]
    if worn < 0:
        geom_matid[world, geom] = kind_material[kind]
    else:
        geom_matid[world, geom] = texture_material[worn]
    shown[world, geom] = wp.uint8(what[world, slot][1])


@wp.kernel(enable_backward=False)
def lay_cloth(
    cloth: wp.array2d[float],
    geom: wp.array[int],
    bare_colour: wp.array[wp.vec4],
    bare_mesh: wp.array[int],
    bare_material: wp.array[int],
    cloth_mesh: wp.array[int],
    cloth_material: wp.array[int],
    geom_rgba: wp.array2d[wp.vec4],
    geom_dataid: wp.array2d[int],
    geom_matid: wp.array2d[int],
) -> None:
    """Cover the table, or bare it, a thread for each world and geom of the table.

    Args:
        cloth: (B, 4), the texture, or -1 for no cloth, and red, green, blue.
        geom, bare_colour, bare_mesh, bare_material, cloth_mesh: one a geom of the table.
        cloth_material: one a texture.
        geom_rgba, geom_dataid, geom_matid: (B, geoms), written.
    """
    world, part = wp.tid()
    own = cloth[world]
    texture = int(own[0])
    to = geom[part]
    if texture < 0:
        geom_rgba[world, to] = bare_colour[part]
        geom_dataid[world, to] = bare_mesh[part]
        geom_matid[world, to] = bare_material[part]
    else:
        geom_rgba[world, to] = wp.vec4(own[1], own[2], own[3], 1.0)
        geom_dataid[world, to] = cloth_mesh[part]
        geom_matid[world, to] = cloth_material[texture]


@wp.kernel(enable_backward=False)
def place_view(
    views: wp.array2d[float],
    cam_xpos: wp.array2d[wp.vec3],
    cam_xmat: wp.array2d[wp.mat33],
    cam_intrinsic: wp.array2d[wp.vec4],
    light_xdir: wp.array2d[wp.vec3],
    light_diffuse: wp.array2d[wp.vec3],
    light_ambient: wp.array2d[wp.vec3],
) -> None:
    """Place camera and lamp, a thread for each world.

    Args:
        views: (B, 33), the three upper rows of the camera's frame, its matrix as MuJoCo has it, the direction in which
            the lamp's light travels, its diffuse and its ambient level; direction and
            diffuse level of further lamps.
        cam_xpos, cam_xmat, cam_intrinsic: (B, 1), written.
        light_xdir, light_diffuse, light_ambient: (B, lamps), written.
    """
    world = wp.tid()
    view = views[world]
    cam_xmat[world, 0] = wp.mat33(view[0], view[1], view[2], view[4], view[5], view[6], view[8], view[9], view[10])
    cam_xpos[world, 0] = wp.vec3(view[3], view[7], view[11])
    cam_intrinsic[world, 0] = wp.vec4(view[12], view[13], view[14], view[15])
    light_xdir[world, 0] = wp.vec3(view[16], view[17], view[18])
    light_diffuse[world, 0] = view[19] * wp.vec3(1.0, 1.0, 1.0)
    light_ambient[world, 0] = view[20] * wp.vec3(1.0, 1.0, 1.0)
    for lamp in range(1, light_diffuse.shape[1]):
        at = 17 + 4 * lamp
        light_xdir[world, lamp] = wp.vec3(view[at], view[at + 1], view[at + 2])
        light_diffuse[world, lamp] = view[at + 3] * wp.vec3(1.0, 1.0, 1.0)


@wp.kernel(enable_backward=False)
def write_colour(packed: wp.array2d[wp.uint32], samples: int, rgb: wp.array4d[wp.uint8]) -> None:
    """Write each pixel in its own thread: the mean, rounded, of its samples x samples rays, 0xAARRGGBB each.

    Args:
        packed: (B, samples H * samples W).
        rgb: (B, H, W, 3), written.
    """
    world, row, column = wp.tid()
    width = rgb.shape[2] * samples
    sums = wp.vec3i(0, 0, 0)
    for i in range(samples):
        for j in range(samples):
            ray = int(packed[world, (row * samples + i) * width + column * samples + j])
            sums += wp.vec3i((ray >> 16) & 255, (ray >> 8) & 255, ray & 255)
    count = samples * samples
    for channel in range(3):
        rgb[world, row, column, channel] = wp.uint8((sums[channel] + count // 2) // count)


@wp.kernel(enable_backward=False)
def write_depth(rays: wp.array2d[float], samples: int, depth_m: wp.array3d[float]) -> None:
    """Write each pixel in its own thread: the depth of its middle ray, infinite where that met nothing."""
    world, row, column = wp.tid()
    middle = samples // 2
    depth = rays[world, (row * samples + middle) * depth_m.shape[2] * samples + column * samples + middle]
    depth_m[world, row, column] = wp.where(depth > 0.0, depth, wp.inf)


@wp.kernel(enable_backward=False)
def write_segmentation(
    rays: wp.array2d[wp.vec2i], shown: wp.array2d[wp.uint8], samples: int, segmentation: wp.array3d[wp.uint8]
) -> None:
    """Write each pixel in its own thread: the number, in `shown` (B, geoms), of the object that its middle ray met."""
    world, row, column = wp.tid()
    middle = samples // 2
    geom = rays[world, (row * samples + middle) * segmentation.shape[2] * samples + column * samples + middle][0]
    number = wp.uint8(0)
    if geom >= 0:
        number = shown[world, geom]
    segmentation[world, row, column] = number
