"""`README.md` of a dataset: the lines by which Hugging Face's `load_dataset(FOLDER)` knows what to read, and how.

Without them that library takes the sidecars for data, too, and guesses the types from the first five samples, which
may be empty tables. Source: huggingface.co/docs/hub/datasets-manual-configuration; columns of type `json` need version
4.7 of the library.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from air3d.datasets.files import atomic_file

CARD_FILE = "README.md"

_HEAD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: shard-*.tar
dataset_info:
  features:
"""
_TAIL = """\
---

Made by `air3d generate` from `config.json`. Hugging Face's `load_dataset(FOLDER)` opens this folder.
"""
_DTYPES = {"png": "image", "json": "json"}


def write_card(folder: Path, members: Sequence[str]) -> None:
    """Write the card unless there is one, which may be the user's.

    Args:
        members: the names of the files of every sample; each becomes a column.

    Raises:
        OSError: if it cannot be written.
    """
    if (folder / CARD_FILE).exists():
        return
    columns = {name: _DTYPES[name.rpartition(".")[2]] for name in members} | dict.fromkeys(
        ("__key__", "__url__"), "string"
    )
    features = "".join(f"  - name: {name}\n    dtype: {dtype}\n" for name, dtype in columns.items())
    with atomic_file(folder / CARD_FILE) as file:
        file.write((_HEAD + features + _TAIL).encode())
