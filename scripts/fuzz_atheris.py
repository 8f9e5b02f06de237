"""Coverage-guided fuzzing of everything that reads bytes from outside, by atheris.

    pip install atheris
    python scripts/fuzz_atheris.py scene -max_total_time=60

The first argument chooses what reads: scene, picture, tensors, sidecar, header, manifest or png; the others are
libFuzzer's.
A finding is any exception but InputError, a hang, or more memory than libFuzzer's -rss_limit_mb.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

try:
    import atheris
except ImportError:
    print("fuzz: skipped: atheris is not installed (pip install atheris)")
    raise SystemExit(0) from None

with atheris.instrument_imports(include=["air3d", "PIL"]):
    from air3d.datasets.config import GenerateConfig
    from air3d.datasets.manifest import read_manifest
    from air3d.datasets.pictures import as_picture
    from air3d.datasets.png import decode_png
    from air3d.datasets.shards import check_header, read_sidecar
    from air3d.networks.weights import load_tensors
    from air3d.scene3d.errors import InputError
    from air3d.scene3d.scene_json import scene_from_json

SCRATCH = Path(tempfile.mkdtemp(prefix="air3d-fuzz-"))


def write(name: str, data: bytes) -> Path:
    """Write a file with these bytes."""
    path = SCRATCH / name
    path.write_bytes(data)
    return path


TARGETS: dict[str, Callable[[bytes], object]] = {
    "scene": lambda data: scene_from_json(data.decode(errors="replace")),
    "picture": lambda data: as_picture(write("picture.png", data), 16),
    "tensors": lambda data: load_tensors(data, Path("weights.safetensors")),
    "sidecar": lambda data: read_sidecar(write("shard-000000.json", data).parent, 0),
    "header": lambda data: check_header(data[:512].ljust(512, b"\0"), "00000000.image.png", 4),
    "manifest": lambda data: read_manifest(write("manifest.json", data).parent, GenerateConfig),
    "png": lambda data: decode_png(data, "RGB", 16, 16),
}


def main() -> None:
    """Fuzz the target that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print(f"fuzz: name one of {', '.join(TARGETS)}")
        raise SystemExit(2)
    read = TARGETS[sys.argv.pop(1)]

    def one(data: bytes) -> None:
        try:
            read(data)
        except InputError as error:
            if "\n" in str(error):
                raise

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
