"""Writes bop.json: what bop_toolkit and pycocotools say about poses and detections that are drawn here.

    PYTHONPATH=<a checkout of github.com/thodan/bop_toolkit> python tests/air3d/evaluation/reference/make_bop.py

in an environment of its own with numpy, scipy and pycocotools. Neither is needed to run the tests, which compare
air3d.evaluation with the file. Seed 0. The file was made with the functions called here as of these commits:
pose_error.py 2fe516b0, misc.py 0b7c901c, transform.py 8a0afcd9, pose_matching.py 08c39301, score.py aea87ef4 (the rules
of the BOP Challenge 2024); pycocotools 2.0.11.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bop_toolkit_lib import misc, pose_error, pose_matching, score
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.spatial.transform import Rotation

HERE = Path(__file__).parent
MESHES = HERE.parents[3] / "assets" / "meshes"
HEIGHTS_M = {"mug": 0.1, "pan": 0.05, "plate": 0.022, "glass": 0.12, "cube": 0.1, "cylinder": 0.12}
STEP = 0.01
IMAGES, OBJECTS, DETECTIONS, KINDS = 60, 3, 4, 3
WIDTH = 64
VISIBLE = 0.1
FRACTIONS = np.arange(0.05, 0.51, 0.05)
PIXELS = np.arange(5.0, 51.0, 5.0)


def symmetries(kind: str) -> dict[str, Any]:
    """As in a models_info.json: groups about the body's centre, a continuous axis through the origin."""
    if kind in ("plate", "glass"):
        return {"symmetries_continuous": [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]}
    if kind in ("mug", "pan"):
        return {}
    centre = np.array([0.0, 0.0, HEIGHTS_M[kind] / 2.0])
    motions = []
    for rotation in Rotation.create_group("O" if kind == "cube" else "D2").as_matrix():
        motion = np.eye(4)
        motion[:3, :3], motion[:3, 3] = rotation, centre - rotation @ centre
        if not np.allclose(motion, np.eye(4)):  # the toolkit adds the identity itself
            motions.append(motion.ravel().tolist())
    return {"symmetries_discrete": motions}


def vertices(kind: str) -> np.ndarray:
    lines = (MESHES / f"{kind}.inference.obj").read_text().splitlines()
    return np.array([[float(v) for v in line.split()[1:4]] for line in lines if line.startswith("v ")])


def poses(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Pairs of object-to-camera poses, near each other and far, with both errors."""
    rows = []
    for kind in HEIGHTS_M:
        points, syms = vertices(kind), misc.get_symmetry_transformations(symmetries(kind), STEP)
        for angle, shift in ((0.02, 0.003), (0.3, 0.02), (2.0, 0.05), (3.1, 0.0)):
            true = np.eye(4)
            true[:3, :3] = Rotation.random(rng=rng).as_matrix()
            true[:3, 3] = [*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.8, 1.2)]
            found = true.copy()
            axis = rng.normal(size=3)
            found[:3, :3] = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix() @ true[:3, :3]
            found[:3, 3] += shift * rng.normal(size=3)
            true, found = np.round(true, 6), np.round(found, 6)
            focal = float(np.round(rng.uniform(60.0, 120.0), 2))
            camera = np.array([[focal, 0.0, 31.5], [0.0, focal, 31.5], [0.0, 0.0, 1.0]])
            moved = found[:3, :3], found[:3, 3:], true[:3, :3], true[:3, 3:]
            rows.append(
                {
                    "kind": kind,
                    "pose": found.tolist(),
                    "true_pose": true.tolist(),
                    "focal_px": focal,
                    "mssd_m": float(pose_error.mssd(*moved, points, syms)),
                    "mspd_px": float(pose_error.mspd(*moved, camera, points, syms)),
                }
            )
    return rows


def detections(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Kinds of true and found objects (-1: an empty slot), errors of all pairs, confidences (with ties), visibility."""
    kind = rng.integers(-1, KINDS, size=(IMAGES, OBJECTS))
    found = rng.integers(-1, KINDS, size=(IMAGES, DETECTIONS))
    found[:, :OBJECTS] = np.where(rng.random(kind.shape) < 0.8, kind, found[:, :OBJECTS])
    shape = IMAGES, OBJECTS, DETECTIONS
    near = np.eye(OBJECTS, DETECTIONS, dtype=bool) & (rng.random(shape) < 0.8)
    fraction = np.round(np.where(near, rng.uniform(0.0, 0.4, shape), rng.uniform(0.2, 1.5, shape)), 4)
    pixels = np.round(np.where(near, rng.uniform(0.0, 4.0, shape), rng.uniform(1.0, 30.0, shape)), 4)
    return {
        "kind": kind,
        "found": found,
        "fraction": np.round(fraction + 3e-5, 5),  # never just at a threshold
        "pixels": np.round(pixels + 3e-5, 5),
        "confidence": np.round(rng.uniform(0.0, 1.0, size=(IMAGES, DETECTIONS)), 1),
        "visible_fraction": np.round(rng.uniform(0.0, 1.0, size=(IMAGES, OBJECTS)) ** 2, 3),
    }


def bop_ap(drawn: dict[str, np.ndarray], errors: np.ndarray, threshold: float) -> list[float]:
    """AP of each kind by bop_toolkit."""
    truth, info, valid, found = {}, {}, {}, []
    for image in range(IMAGES):
        slots = np.flatnonzero(drawn["kind"][image] >= 0)
        truth[image] = [{"obj_id": int(drawn["kind"][image, t])} for t in slots]
        visible = [float(drawn["visible_fraction"][image, t]) for t in slots]
        info[image] = [{"visib_fract": v} for v in visible]
        valid[image] = [True] * len(slots)
        for d in np.flatnonzero(drawn["found"][image] >= 0):
            kind = int(drawn["found"][image, d])
            same = {g: [float(errors[image, t, d])] for g, t in enumerate(slots) if drawn["kind"][image, t] == kind}
            found.append(
                {
                    "scene_id": 0,
                    "im_id": image,
                    "obj_id": kind,
                    "est_id": int(d),
                    "score": float(drawn["confidence"][image, d]),
                    "errors": same,
                    "gt_visib_fracts": dict(enumerate(visible)),
                }
            )
    matches = pose_matching.match_poses_scene(0, truth, info, valid, found, [threshold], 0)
    scores = score.calc_pose_detection_scores([0], list(range(KINDS)), matches, found, VISIBLE, do_print=False)
    return [float(scores["scores"][kind]) for kind in range(KINDS)]


class _Coco(COCOeval):
    """COCO's evaluation with overlaps that are given instead of computed from boxes."""

    def computeIoU(self, image: int, kind: int) -> Any:
        found, true = self._dts[image, kind], self._gts[image, kind]
        found = sorted(found, key=lambda row: -row["score"])
        return np.array([[self.overlap[image, t["slot"], d["slot"]] for t in true] for d in found])


def coco_ap(drawn: dict[str, np.ndarray], errors: np.ndarray, thresholds: np.ndarray) -> list[list[float]]:
    """(T, K) AP by pycocotools, every object visible; overlap is minus the error."""
    rows: dict[str, list[dict[str, Any]]] = {"kind": [], "found": []}
    for name, into in rows.items():
        for image, slot in np.argwhere(drawn[name] >= 0).tolist():
            row = {"id": len(into) + 1, "image_id": image, "category_id": int(drawn[name][image, slot]), "slot": slot}
            row |= {"bbox": [0, 0, 1, 1], "area": 1.0, "iscrowd": 0}
            into.append(row | ({"score": float(drawn["confidence"][image, slot])} if name == "found" else {}))
    true = COCO()
    true.dataset = {
        "images": [{"id": image} for image in range(IMAGES)],
        "categories": [{"id": kind} for kind in range(KINDS)],
        "annotations": rows["kind"],
    }
    true.createIndex()
    found = COCO()
    found.dataset = {**true.dataset, "annotations": rows["found"]}
    found.createIndex()
    evaluation = _Coco(true, found, "bbox")
    evaluation.overlap = -errors
    evaluation.params.iouThrs = -thresholds
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=1).tolist()


def main() -> None:
    rng = np.random.default_rng(0)
    rows, drawn = poses(rng), detections(rng)
    scaled = drawn["pixels"] * 640.0 / WIDTH
    meshes = b"".join((MESHES / f"{kind}.inference.obj").read_bytes() for kind in HEIGHTS_M)
    reference = {
        "made_by": "tests/air3d/evaluation/reference/make_bop.py",
        "pycocotools": version("pycocotools"),
        "meshes_sha256": hashlib.sha256(meshes).hexdigest(),
        "poses": rows,
        "width": WIDTH,
        "detections": {name: array.tolist() for name, array in drawn.items()},
        "bop_mssd_ap": [bop_ap(drawn, drawn["fraction"], float(t)) for t in FRACTIONS],
        "bop_mspd_ap": [bop_ap(drawn, scaled, float(t)) for t in PIXELS],
        "coco_mssd_ap": coco_ap(drawn, drawn["fraction"], FRACTIONS),
    }
    (HERE / "bop.json").write_text(json.dumps(reference, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
