"""MNIST's four original files (LeCun, Cortes, Burges): found in a folder, or downloaded once into the user's cache.

What counts is the content: a download is taken if the sha256 of the unpacked file is the original's, wherever it came
from and however it was packed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from air3d.datasets.digits.idx import unpack
from air3d.datasets.files import atomic_file
from air3d.scene3d.cache_folder import cache_places, writable_cache
from air3d.scene3d.errors import InputError

# split: images, labels
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Of the unpacked files.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_MAX_DOWNLOAD = 64 << 20
_TIMEOUT_S = 30.0


def read_file(name: str, folder: Path | None) -> bytes:
    """Return the unpacked content of one of the four files; a file of that name is taken whatever it holds.

    Args:
        name: the name, one of `FILES`.
        folder: holds the file, plain or as NAME.gz; None means the cache, which is filled by downloading.

    Raises:
        InputError: if it is not there, cannot be read or downloaded.
    """
    if folder is None:
        kept = (place for place in cache_places("mnist") if os.path.exists(place / name))
        return download(name, MIRRORS, next(kept, None) or writable_cache("mnist"))
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return unpack(_read(path), str(path))
    raise InputError(f"{folder}: holds neither {name} nor {name}.gz; name a folder with MNIST's original files")


def download(name: str, mirrors: Sequence[str], cache: Path | None) -> bytes:
    """Return the unpacked content of one original file, from the cache or the first mirror that has it.

    Args:
        mirrors: the addresses that `NAME.gz` is appended to, tried in order.
        cache: folder that keeps the unpacked file, if it can be written; a damaged one there is replaced. None: it is
            not kept.

    Raises:
        InputError: if no mirror gives it; the message has the reason of each.
    """
    if cache is not None and (cache / name).is_file():
        content = _read(cache / name)
        if _is_original(name, content):
            return content
    reasons = []
    for mirror in mirrors:
        try:
            content = unpack(_fetch(f"{mirror}{name}.gz"), name)
            if not _is_original(name, content):
                raise InputError("its content is not the original (sha256)")
        except InputError as error:
            reasons.append(f"{mirror}: {error}")
            continue
        with contextlib.suppress(OSError):
            if cache is not None:
                cache.mkdir(parents=True, exist_ok=True)
                with atomic_file(cache / name) as file:
                    file.write(content)
        return content
    raise InputError(
        f"{name} could not be downloaded ({'; '.join(reasons)}); put MNIST's four files into a folder and name it "
        "with --mnist-dir, or use --source uci"
    )


def _fetch(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            data: bytes = answer.read(_MAX_DOWNLOAD + 1)
    except urllib.error.URLError as error:
        raise InputError(str(error.reason)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise InputError(str(error)) from None
    if len(data) > _MAX_DOWNLOAD:
        raise InputError("the file is too large")
    return data


def _is_original(name: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256[name]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
