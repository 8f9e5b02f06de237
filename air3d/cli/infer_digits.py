"""`air3d infer` with a model of the 2D track: how many digits, where, and how they look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from air3d.cli.progress import say
from air3d.datasets.pictures import encode_picture
from air3d.digits.drawing import comparison_picture, side_by_side, window_box, windows_picture
from air3d.digits.inference import infer
from air3d.digits.pictures import read_digits_picture
from air3d.digits_store import load_digits_model

# Digits like those of the training are explained with about 0.07; a picture of something else with far more.
_POOR = 0.2


def explain(weights: str, paths: list[Path], out: Path) -> tuple[dict[str, bytes], list[dict[str, Any]], list[str]]:
    """Infer pictures.

    Args:
        out: the folder that the answers will be written into; the rows name it.

    Returns:
        Files by name: for each picture NAME.*, NAME.digits.json (count and windows, in pixels of the model's input),
        NAME.render.png (the reconstruction) and NAME.comparison.png (windows on the input, on the reconstruction, and
        each object); a JSON row for each; a line for each.

    Raises:
        InputError: if a picture cannot be read or is of another kind, or there is no such model.
    """
    model = load_digits_model(weights).model
    size = model.config.canvas
    notes: list[str] = []
    images = np.stack([read_digits_picture(path, size, notes) for path in paths])
    for note in notes:
        say(note)
    inferred = infer(model, images)
    files: dict[str, bytes] = {}
    rows, lines = [], []
    for i, path in enumerate(paths):
        pixels, found = (images[i] / 255.0).astype(np.float32), inferred.reconstructions[i]
        rmse = float(np.sqrt(np.mean(np.square(found - pixels))))
        poor = "; poorly explained, perhaps not an image like those of the training" if rmse > _POOR else ""
        row: dict[str, Any] = {"image": str(path), "rmse": rmse}
        what = "reconstructed"
        if inferred.counts is None or inferred.z_where is None or inferred.objects is None:
            none = np.zeros((0, 3), dtype=np.float32)
            comparison = side_by_side([windows_picture(pixels, none, 4), windows_picture(found, none, 4)])
        else:
            count = int(inferred.counts[i])
            z_where = inferred.z_where[i, :count]
            windows = [[round(edge, 2) for edge in window_box(where, size)] for where in z_where]
            comparison = comparison_picture(pixels, found, z_where, inferred.objects[i, :count])
            files[f"{path.stem}.digits.json"] = _document(count, windows, size)
            row |= {"digits": str(out / f"{path.stem}.digits.json"), "count": count}
            places = ", ".join(f"({(x0 + x1) / 2:.1f}, {(y0 + y1) / 2:.1f})" for x0, y0, x1, y1 in windows)
            what = f"{count} digit{'' if count == 1 else 's'}{f' at {places}' if places else ''}"
        files[f"{path.stem}.render.png"] = encode_picture(windows_picture(found, np.zeros((0, 3), np.float32), 1))
        files[f"{path.stem}.comparison.png"] = encode_picture(comparison)
        rows.append(row)
        lines.append(f"{path.name}: {what}; pixel error {rmse:.3f} (root mean square, 0 to 1){poor}")
    return files, rows, lines


def _document(count: int, windows: list[list[float]], size: int) -> bytes:
    document = {"schema": "air3d-digits-answer/1", "image_size": size, "count": count, "windows": windows}
    return (json.dumps(document) + "\n").encode()
