"""Writes and reads checkpoints: safetensors that carry the digest of their own content, so that damage is noticed.

The digest stands in the metadata of the file. Files of before it have no metadata, and are read as they are.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from air3d.datasets.files import atomic_file
from air3d.networks.weights import load_tensors
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene_json import parse_json

_DIGEST = "content_sha256"
_MAX_BYTES = 4 << 30


def write_checkpoint(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors so that the file appears whole or not at all. Raises OSError if it cannot be written."""
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with atomic_file(path) as file:
        file.write(save(plain, {_DIGEST: content_sha256(plain)}))


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint.

    Raises:
        InputError: if it cannot be read, or has changed since it was written; the message names the file.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise InputError(f"{path}: damaged ({size} bytes are too many for a checkpoint)")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    tensors = load_tensors(data, path)
    recorded = _metadata(data)
    if recorded is not None and recorded != {_DIGEST: content_sha256(tensors)}:
        raise InputError(f"{path}: damaged (its content does not have the recorded sha256)")
    return tensors


def content_sha256(tensors: dict[str, Tensor]) -> str:
    """Digest names, types, shapes and every bit of the values; the order of a file does not matter."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(repr((key, str(value.dtype), tuple(value.shape))).encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _metadata(data: bytes) -> object:
    # safetensors reads metadata from files alone. A file starts with the length of a JSON header, then the header.
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")].decode(), "header")
    return header.get("__metadata__") if isinstance(header, dict) else None
