"""The catalog's meshes and textures: closed, true to the catalog, symmetric as declared, and rebuilt to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import CATALOG, CROCKERY
from air3d.scene3d.meshes import build
from air3d.scene3d.meshes.obj import obj_text
from air3d.scene3d.meshes.profile import Corner, fillet, rounded_profile
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.meshes.table import PLANK_COLOURS, PLANKS, WALL, WALL_TOP, plank_edges
from air3d.scene3d.meshes.textures import CAP, DARK, LIGHT

Array = NDArray[np.float64]

DETAILS = ("inference", "display")
KINDS = [(kind, detail) for kind in CATALOG for detail in DETAILS]
TABLE = [(f"{table}_plank_{i}", "inference") for table in ("table", "square_table", "bin") for i in range(PLANKS)]
TABLE += [("table", "display"), ("square_table", "display"), ("bin", "display")]
OPEN_VESSELS = ("mug", "plate", "bowl", "pan", "glass")
WITH_HANDLE = ("mug", "pan", "teapot")
OBJ_STEP_M = 1e-6


class Obj(NamedTuple):
    """An OBJ file as written: v (V, 3), vt (T, 2), vn (N, 3), and indices (F, 3) into each (vt's may be empty)."""

    v: Array
    vt: Array
    vn: Array
    f: NDArray[np.int64]
    ft: NDArray[np.int64]
    fn: NDArray[np.int64]

    def closed(self) -> trimesh.Trimesh:
        """Positions and faces alone."""
        return trimesh.Trimesh(self.v, self.f, process=False)


def read(kind: str, detail: str) -> Obj:
    rows: dict[str, list[list[float]]] = {"v": [], "vt": [], "vn": []}
    faces = []
    for line in asset_path("meshes", f"{kind}.{detail}.obj").read_text().splitlines():
        key, *rest = line.split()
        if key in rows:
            rows[key].append([float(x) for x in rest])
        elif key == "f":
            faces.append([[int(x or 0) for x in corner.split("/")] for corner in rest])
    index = np.array(faces) - 1
    return Obj(*(np.array(rows[key]) for key in ("v", "vt", "vn")), *(index[..., k] for k in range(3)))


def components(obj: Obj) -> list[trimesh.Trimesh]:
    """Connected components, largest volume first."""
    parts = obj.closed().split(only_watertight=False)
    return sorted(parts, key=lambda part: -part.volume)


def winding(mesh: trimesh.Trimesh, points: Array) -> Array:
    """Winding number of a closed mesh about points (P, 3): 1 inside, 0 outside (Van Oosterom and Strackee 1983)."""
    a, b, c = (mesh.triangles[None, :, k] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=2) for x in (a, b, c))
    det = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
    dots = [np.einsum("pfi,pfi->pf", x, y) * lz for x, y, lz in ((a, b, lc), (b, c, la), (c, a, lb))]
    return np.arctan2(det, la * lb * lc + sum(dots)).sum(axis=1) / (2.0 * np.pi)


def crossings(mesh: trimesh.Trimesh, origin: Array, direction: Array) -> Array:
    """Sorted distances at which the ray crosses the mesh (Moller and Trumbore 1997)."""
    a, b, c = (mesh.triangles[:, k] for k in range(3))
    p = np.cross(direction, c - a)
    det = np.einsum("fi,fi->f", b - a, p)
    ok = np.abs(det) > 1e-14
    s = (origin - a)[ok]
    q = np.cross(s, (b - a)[ok])
    u = np.einsum("fi,fi->f", s, p[ok]) / det[ok]
    v = q @ direction / det[ok]
    t = np.einsum("fi,fi->f", (c - a)[ok], q) / det[ok]
    return np.sort(t[(u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)])


def farthest(moved: Array, still: Array) -> float:
    """Largest distance from a moved point to its nearest fixed one."""
    return float(cKDTree(still).query(moved)[0].max())


def about_z(angle_rad: float) -> Array:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def silhouette(obj: Obj, azimuth_rad: float, elevation_rad: float) -> NDArray[np.bool_]:
    """Orthographic silhouette, 0.5 mm a pixel."""
    turned = obj.v @ about_z(-azimuth_rad).T
    up = np.sin(elevation_rad) * turned[:, 0] + np.cos(elevation_rad) * turned[:, 2]
    flat = np.stack([turned[:, 1], up], axis=1) / 0.0005 + 500.0
    picture = Image.new("1", (1000, 1000))
    draw = ImageDraw.Draw(picture)
    for triangle in flat[obj.f]:
        draw.polygon([tuple(point) for point in triangle], fill=1)
    return np.asarray(picture)


@pytest.mark.parametrize("kind,detail", KINDS + TABLE)
def test_every_component_is_closed_and_wound_outward(kind: str, detail: str) -> None:
    obj = read(kind, detail)
    mesh = obj.closed()
    assert len(np.unique(obj.v, axis=0)) == len(obj.v)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert (mesh.area_faces > 0.0).all()
    for part in components(obj):
        assert part.is_watertight
        assert part.volume > 0.0
        assert part.euler_number == 2


@pytest.mark.parametrize("kind,detail", KINDS + TABLE)
def test_normals_are_unit_and_on_the_side_of_their_faces(kind: str, detail: str) -> None:
    obj = read(kind, detail)
    np.testing.assert_allclose(np.linalg.norm(obj.vn, axis=1), 1.0, atol=2e-5)
    corners = obj.v[obj.f]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    face /= np.linalg.norm(face, axis=1, keepdims=True)
    agreement = np.einsum("fi,fki->fk", face, obj.vn[obj.fn])
    assert agreement.min() > {"inference": 0.4, "display": 0.9}[detail]


@pytest.mark.parametrize("kind", CATALOG)
def test_triangle_budgets(kind: str) -> None:
    assert len(read(kind, "inference").f) <= 360
    # A cylinder has nothing to bend along its height.
    assert (300 if kind == "cylinder" else 3000) <= len(read(kind, "display").f) <= 20000


@pytest.mark.parametrize("kind,detail", KINDS)
def test_height_and_footprint_are_the_catalogs(kind: str, detail: str) -> None:
    obj, nominal = read(kind, detail), CATALOG[kind]
    assert obj.v[:, 2].min() == 0.0
    assert obj.v[:, 2].max() == pytest.approx(nominal.height_m, abs=OBJ_STEP_M)
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    points = np.concatenate([obj.v, *(np.einsum("k,fki->fi", w, obj.v[obj.f]) for w in weights)])[:, :2]
    excess = [np.hypot(*(points - (c.x_m, c.y_m)).T) - c.radius_m for c in nominal.footprint]
    assert np.min(excess, axis=0).max() < 2.0 * OBJ_STEP_M
    # And the footprint is not much too large: 2 mm at each end.
    for axis, centres in ((0, [c.x_m for c in nominal.footprint]), (1, [c.y_m for c in nominal.footprint])):
        radii = [c.radius_m for c in nominal.footprint]
        # A cube's circle has its corners on the diagonals.
        reach = obj.v[:, axis] if kind != "cube" else obj.v[:, :2] @ (np.sqrt(0.5), np.sqrt(0.5))
        assert reach.max() == pytest.approx(np.max(np.add(centres, radii)), abs=0.002)
        assert reach.min() == pytest.approx(np.min(np.subtract(centres, radii)), abs=0.002)


@pytest.mark.parametrize("kind", CATALOG)
def test_levels_of_detail_have_the_same_silhouette(kind: str) -> None:
    coarse, fine = read(kind, "inference"), read(kind, "display")
    for azimuth, elevation in ((0.3, 0.2), (1.7, 0.6), (2.9, 1.0), (4.4, 1.5707)):
        a, b = (silhouette(obj, azimuth, elevation) for obj in (coarse, fine))
        assert a.sum() == pytest.approx(b.sum(), rel=0.035)
        assert (a & b).sum() / (a | b).sum() > 0.94
    assert coarse.closed().volume == pytest.approx(fine.closed().volume, rel=0.12)


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("kind", OPEN_VESSELS)
def test_vessels_are_open_with_walls_of_real_thickness(kind: str, detail: str) -> None:
    height_m = CATALOG[kind].height_m
    body = components(read(kind, detail))[0]
    floor = 0.5 - crossings(body, np.array([0.0007, 0.0004, 0.5]), np.array([0.0, 0.0, -1.0]))
    assert len(floor) == 2, "one floor, nothing above it"
    assert 0.003 < floor[0] < 0.011
    assert floor[0] - floor[1] > 0.003
    assert body.volume < 0.5 * body.convex_hull.volume
    for angle in np.linspace(0.05, 6.2, 7):
        outward = np.array([np.cos(angle), np.sin(angle), 0.0])
        hits = crossings(body, np.array([0.0, 0.0, 0.9 * height_m]), outward)
        assert len(hits) == 2
        assert 0.002 < hits[1] - hits[0] < 0.009


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("kind,ends", [("mug", 2), ("pan", 1)])
def test_handles_end_inside_the_wall(kind: str, ends: int, detail: str) -> None:
    body, handle = components(read(kind, detail))
    hull = body.convex_hull
    depth = (
        handle.vertices @ hull.face_normals.T - np.einsum("fi,fi->f", hull.face_normals, hull.triangles[:, 0])
    ).max(1)
    within = handle.vertices[depth < -1e-5]
    # All that is inside the vessel's hull is inside its wall, and nothing in the room that the wall encloses.
    assert np.allclose(winding(body, within), 1.0, atol=1e-3)
    assert len(within) >= ends * {"inference": 7, "display": 25}[detail], "an end's ring and middle are buried"
    # The surface of an end is buried as well, not only its corners.
    buried = handle.triangles[np.isin(handle.faces, np.flatnonzero(depth < -1e-5)).all(axis=1)].mean(axis=1)
    assert np.allclose(winding(body, buried), 1.0, atol=1e-3)


@pytest.mark.parametrize("detail", DETAILS)
def test_teapots_parts_hold_together(detail: str) -> None:
    body, *parts = components(read("teapot", detail))
    assert len(parts) == 3
    for part in parts:
        inside = winding(body, part.vertices) > 0.5
        assert 0 < inside.sum() < len(inside)


@pytest.mark.parametrize("kind,detail", KINDS)
def test_declared_discrete_symmetries_hold(kind: str, detail: str) -> None:
    vertices, nominal = read(kind, detail).v, CATALOG[kind]
    centre = np.array([0.0, 0.0, nominal.height_m / 2.0])
    for rotation in nominal.symmetry.rotations():
        assert farthest((vertices - centre) @ rotation.T + centre, vertices) < 3.0 * OBJ_STEP_M
    for k in range(1, max(nominal.symmetry.yaw_order, 1)):
        turned = vertices @ about_z(2.0 * np.pi * k / nominal.symmetry.yaw_order).T
        assert farthest(turned, vertices) < 3.0 * OBJ_STEP_M


@pytest.mark.parametrize("kind", [kind for kind in CROCKERY if CATALOG[kind].symmetry.continuous_yaw])
def test_round_kinds_have_one_profile_at_every_angle(kind: str) -> None:
    vertices = read(kind, "display").v
    widest = np.hypot(vertices[:, 0], vertices[:, 1])
    ring = vertices[widest > widest.max() - 2.0 * OBJ_STEP_M]
    sides = int((np.abs(ring[:, 2] - ring[0, 2]) < OBJ_STEP_M).sum())
    assert sides >= 48, "the polygon is a circle to within 0.3 % of its radius"
    assert farthest(vertices @ about_z(2.0 * np.pi / sides).T, vertices) < 3.0 * OBJ_STEP_M


@pytest.mark.parametrize("detail", DETAILS)
def test_sphere_is_round(detail: str) -> None:
    radius_m = CATALOG["sphere"].radius_m
    distance = np.linalg.norm(read("sphere", detail).v - [0.0, 0.0, radius_m], axis=1)
    np.testing.assert_allclose(distance, radius_m, atol=2.0 * OBJ_STEP_M)


@pytest.mark.parametrize("kind,detail", [(kind, detail) for kind in WITH_HANDLE for detail in DETAILS])
def test_handles_break_every_turn_and_point_along_x(kind: str, detail: str) -> None:
    vertices = read(kind, detail).v
    for angle in np.pi * np.array([0.25, 0.5, 1.0, 1.5]):
        assert farthest(vertices @ about_z(angle).T, vertices) > 0.01
    assert farthest(vertices * (1.0, -1.0, 1.0), vertices) < 3.0 * OBJ_STEP_M
    if kind == "teapot":
        # The spout's mouth is high; the handle is widest at half height.
        assert vertices[vertices[:, 0].argmin(), 2] > 0.09
        assert 0.04 < vertices[vertices[:, 0].argmax(), 2] < 0.09
    else:
        assert vertices[:, 0].max() > -vertices[:, 0].min() + 0.03


def test_mug_handle_is_large_enough_to_be_seen() -> None:
    _, handle = components(read("mug", "display"))
    low, high = handle.bounds
    assert high[1] - low[1] == pytest.approx(0.014, abs=0.001), "as thick as a thumb"
    assert high[0] - 0.0444 == pytest.approx(0.040, abs=0.003), "sticks out"
    assert 0.06 < high[2] - low[2] < 0.072
    # A finger fits through: the ray along the handle's plane passes tube, gap and wall.
    hits = crossings(read("mug", "display").closed(), np.array([0.2, 0.0002, 0.0521]), np.array([-1.0, 0.0, 0.0]))
    assert 0.02 < hits[2] - hits[1] < 0.035


def cylinder_colour(points: Array) -> Array:
    """What the catalog says: sign(sin 2 theta) sign(z - h/2), +1 light and -1 dark."""
    theta = np.arctan2(points[:, 1], points[:, 0])
    return np.sign(np.sin(2.0 * theta)) * np.sign(points[:, 2] - CATALOG["cylinder"].height_m / 2.0)


@pytest.mark.parametrize("detail", DETAILS)
def test_cylinder_wears_its_checkerboard(detail: str) -> None:
    obj = read("cylinder", detail)
    texture = np.asarray(Image.open(asset_path("textures", "cylinder.png")))
    size = len(texture)
    weights = np.random.default_rng(1).dirichlet(np.ones(3), size=len(obj.f))
    points = np.einsum("fk,fki->fi", weights, obj.v[obj.f])
    uv = np.einsum("fk,fki->fi", weights, obj.vt[obj.ft])
    assert (0.0 <= obj.vt).all()
    assert (obj.vt <= 1.0).all()
    column, row = np.floor(uv[:, 0] * size).astype(int), np.floor((1.0 - uv[:, 1]) * size).astype(int)
    seen = texture[row, column]
    caps = np.abs(obj.vn[obj.fn][:, 0, 2]) > 0.5
    assert (seen[caps] == CAP).all()
    # A pixel's breadth about the borders is not decided.
    theta = np.arctan2(points[:, 1], points[:, 0])
    height_m = CATALOG["cylinder"].height_m
    sure = ~caps & (np.abs(np.sin(2.0 * theta)) > 0.1) & (np.abs(points[:, 2] - height_m / 2.0) > 0.001)
    assert sure.sum() > 40
    light = cylinder_colour(points) > 0.0
    assert (seen[sure & light] == LIGHT).all()
    assert (seen[sure & ~light] == DARK).all()
    centre = np.array([0.0, 0.0, height_m / 2.0])
    for rotation in CATALOG["cylinder"].symmetry.rotations():
        turned = (points - centre) @ rotation.T + centre
        assert (cylinder_colour(turned) == cylinder_colour(points))[sure].all()


def test_planks_tile_the_unit_disc() -> None:
    planks = [read(f"table_plank_{i}", "inference") for i in range(PLANKS)]
    for i, obj in enumerate(planks):
        assert (obj.v[:, 2].min(), obj.v[:, 2].max()) == (-1.0, 0.0)
        np.testing.assert_allclose((obj.v[:, 0].min(), obj.v[:, 0].max()), plank_edges()[i : i + 2], atol=OBJ_STEP_M)
        assert np.hypot(obj.v[:, 0], obj.v[:, 1]).max() == pytest.approx(1.0, abs=2.0 * OBJ_STEP_M)
    volume = sum(obj.closed().volume for obj in planks)
    assert volume == pytest.approx(np.pi, rel=0.01)
    assert read("table", "display").closed().volume == pytest.approx(np.pi, rel=1e-3)


def test_square_planks_tile_the_square_around_the_disc() -> None:
    for i in range(PLANKS):
        plank = read(f"square_table_plank_{i}", "inference").closed()
        left, right = plank_edges()[i : i + 2]
        np.testing.assert_allclose(plank.bounds, [(left, -1.0, -1.0), (right, 1.0, 0.0)], atol=OBJ_STEP_M)
        assert plank.volume == pytest.approx(2.0 * (right - left), abs=1e-5)
    assert read("square_table", "display").closed().volume == pytest.approx(4.0)


def test_a_bins_planks_and_its_whole_are_one_shape() -> None:
    """Points of a grid are in one of the boxes exactly where they are in the floor or a wall."""
    side = np.linspace(-1.1, 1.1, 34)
    points = np.stack(np.meshgrid(side, side, np.linspace(-1.3, 4.3, 20), indexing="ij"), -1).reshape(-1, 3)
    x, y, z = points.T
    outer = np.maximum(abs(x), abs(y))
    expected = (outer < 1.0 + WALL) & (z < np.where(outer > 1.0, WALL_TOP, 0.0)) & (z > -1.0)
    clear = (abs(z + 0.95) > 0.06) & (abs(outer - 1.0 - WALL) > 1e-3)
    for names in ([(f"bin_plank_{i}", "inference") for i in range(PLANKS)], [("bin", "display")]):
        inside = np.zeros(len(points), dtype=bool)
        for name in names:
            for box in read(*name).closed().split():
                inside |= ((points > box.bounds[0]) & (points < box.bounds[1])).all(axis=1)
                assert box.volume == pytest.approx(np.prod(box.extents))
        np.testing.assert_array_equal(inside[clear], expected[clear])


def test_planks_tell_where_plus_x_is_and_let_objects_stand_out() -> None:
    colours = np.array(PLANK_COLOURS)
    brightness = colours @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(brightness) > 0.05).all()
    for kind in CATALOG.values():
        assert np.linalg.norm(colours - kind.colour, axis=1).min() > 0.2, kind.name


@pytest.mark.parametrize("table", ["table", "square_table"])
def test_wood_has_the_planks_colours_where_the_planks_lie(table: str) -> None:
    texture = np.asarray(Image.open(asset_path("textures", "table.png"))) / 255.0
    assert texture.shape == (512, 512, 3)
    obj = read(table, "display")
    top = obj.vn[obj.fn][:, 0, 2] > 0.5
    np.testing.assert_allclose(obj.vt[obj.ft[top]] * 2.0 - 1.0, obj.v[obj.f[top]][..., :2], atol=3e-5)
    for i, colour in enumerate(PLANK_COLOURS):
        left, right = (plank_edges()[i : i + 2] + 1.0) / 2.0 * 512
        board = texture[:, int(left) + 4 : int(right) - 3]
        np.testing.assert_allclose(board.mean(axis=(0, 1)), colour, atol=0.02)
        assert 0.02 < board.std(axis=(0, 1)).max() < 0.10, "grain, but not louder than the step between planks"


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("assets")
    assert build.main(["--out", str(out)]) == 0
    return out


def test_a_rebuild_gives_the_committed_files(rebuilt: Path) -> None:
    made = {path.relative_to(rebuilt).as_posix(): path for path in rebuilt.rglob("*.*")}
    for folder in ("meshes", "textures"):
        committed = {f"{folder}/{path.name}" for path in asset_path(folder).iterdir()}
        assert committed == {name for name in made if name.startswith(folder)}
    for name, path in made.items():
        if path.suffix == ".obj":
            assert path.read_bytes() == asset_path(name).read_bytes(), name
        else:
            np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(asset_path(name))), name)


def test_obj_text_does_not_hang_on_the_last_bit() -> None:
    rng = np.random.default_rng(2)
    for name, mesh in build.meshes():
        shaken = [x + rng.uniform(-1e-15, 1e-15, x.shape) for x in (mesh.positions_m, mesh.normals)]
        uvs = None if mesh.uvs is None else mesh.uvs + rng.uniform(-1e-15, 1e-15, mesh.uvs.shape)
        text = obj_text(mesh, name)
        assert text == obj_text(Mesh(shaken[0], shaken[1], mesh.faces, uvs), name)
        assert "-0.000000" not in text
        assert " -0.00000 " not in text
        assert "\r" not in text


@pytest.mark.parametrize("kind,detail", KINDS)
def test_another_reader_sees_the_same_mesh(kind: str, detail: str) -> None:
    obj = read(kind, detail)
    loaded = trimesh.load_mesh(asset_path("meshes", f"{kind}.{detail}.obj"), process=False)
    assert len(loaded.faces) == len(obj.f)
    assert loaded.volume == pytest.approx(obj.closed().volume, rel=1e-6)


def test_build_says_in_one_line_that_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert build.main(["--out", str(blocked)]) == 2
    message = capsys.readouterr().err
    assert str(blocked) in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    "corners,message",
    [
        ([Corner(0.01, 0.0), Corner(0.0, 1.0)], "on the axis"),
        ([Corner(0.0, 0.0), Corner(-0.1, 0.5), Corner(0.0, 1.0)], "positive radius"),
        ([Corner(0.0, 0.0), fillet(0.1, 0.0, 0.06), fillet(0.1, 0.1, 0.06), Corner(0.0, 0.1)], "overlap"),
    ],
)
def test_impossible_profiles_are_refused(corners: list[Corner], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rounded_profile(corners, 1e-3)


def test_equal_cuts_round_by_a_circle() -> None:
    profile = rounded_profile([Corner(0.0, 0.0), fillet(0.05, 0.0, 0.02), Corner(0.05, 0.1), Corner(0.0, 0.1)], 1e-5)
    arc = (profile.normals[:, 0] > 1e-9) & (profile.normals[:, 1] < -1e-9)
    assert arc.sum() > 8
    np.testing.assert_allclose(np.linalg.norm(profile.points_m[arc] - (0.03, 0.02), axis=1), 0.02, atol=1e-12)
    np.testing.assert_allclose(profile.normals[arc], (profile.points_m[arc] - (0.03, 0.02)) / 0.02, atol=1e-9)
