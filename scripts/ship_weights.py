"""Copies the model of a finished run into the assets, for release: weights in half precision, own kinds made compact.

Usage: python scripts/ship_weights.py RUN NAME
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from air3d.scene3d.own_kinds import compact, is_own
from air3d.scenes.latents import World
from air3d.scenes.store import load_model, save_model


def main(run: Path, name: str) -> None:
    """Write `assets/weights/NAME`: the model, and the log of its run."""
    model, provenance = load_model(run)
    kinds = tuple(compact(kind) if is_own(kind) else kind for kind in model.prior.kinds)
    worlds = [World(replace(world.prior, kinds=kinds)) for world in (model.world, *model.others)]
    shipped = replace(model, world=worlds[0], others=tuple(worlds[1:]))
    out = Path(__file__).resolve().parent.parent / "assets" / "weights" / name
    with TemporaryDirectory(dir=out.parent) as staging:
        fresh = Path(staging) / name
        save_model(fresh, shipped, provenance, half=True)
        load_model(fresh)
        shutil.copyfile(run / "log.jsonl", fresh / "log.jsonl")
        if out.exists():
            shutil.rmtree(out)
        fresh.rename(out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
