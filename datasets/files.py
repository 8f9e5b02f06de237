"""Files that appear whole or not at all, and locks between processes.

A file is written under a temporary name in the folder where it belongs (`.<name>.<process id>.tmp`), flushed to the
disk and renamed. `reported` turns what the operating system refuses into one line for the user.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene_json import parse_json

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+\.tmp")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes the name `path` when the block ends well, and vanishes when it does not.

    Raises:
        OSError: whatever writing raises.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder: renaming is durable only once the folder itself is on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot, and need not
            raise
    finally:
        os.close(descriptor)


def remove_stale(folder: Path, names: Iterable[str]) -> int:
    """Remove the temporary files that killed processes left for these final names; return how many.

    Call it only while holding the lock on the folder or shards that the names belong to.
    """
    wanted, removed = set(names), 0
    for entry in os.scandir(folder):
        match = _TEMPORARY.fullmatch(entry.name)
        if match and match["name"] in wanted:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)
                removed += 1
    return removed


@contextlib.contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn an OSError within the block into an InputError that names the folder and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            remedy = "; free some space and run the same command again: what is finished is kept"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "; choose a folder that you may write to"
        else:
            remedy = ""
        raise InputError(f"{folder}: {error.strerror or error}{remedy}") from None


def read_json(path: Path, max_bytes: int) -> Any:
    """Read a JSON file.

    Raises:
        InputError: if it is missing, too large or not JSON; the message names the file.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(f"{path.name}: {size} bytes is too large")
        return parse_json(path.read_bytes().decode(), path.name)
    except UnicodeDecodeError:
        raise InputError(f"{path.name}: not a text file") from None
    except OSError as error:
        raise InputError(f"{path.name}: {error.strerror or error}") from None


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all. Raises OSError if it cannot be written."""
    with atomic_file(path) as file:
        file.write(json.dumps(data, indent=1, allow_nan=False).encode() + b"\n")


def make_folder(folder: Path, marker: str, without: str) -> None:
    """Make a folder, or check that one that is there is empty or holds a file called `marker`.

    Args:
        without: ends the error about a folder that holds other things: "not empty ('photo.jpg') and ...".

    Raises:
        InputError: for a file, or a folder that holds other things; nothing is written into it.
        OSError: if it cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, not a folder; choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    foreign = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if foreign and marker not in foreign:
        raise InputError(f"{folder}: not empty ('{foreign[0]}') and {without}; choose another folder")


class RangeLock(Closing):
    """Exclusive locks on the numbers 0, 1, ... of one file; the system frees them when the process ends.

    They are POSIX record locks: byte k of the file stands for number k, and nothing is written.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError if it cannot be made."""
        self._file = open(path, "ab")  # noqa: SIM115  held until close

    def acquire(self, number: int, wait: bool = False) -> bool:
        """Take one number; False if another process holds it. Taking it twice is fine.

        Raises:
            OSError: if the file system has no locks.
        """
        mode = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        try:
            fcntl.lockf(self._file, mode, 1, number)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def release(self, number: int) -> None:
        """Give one number back."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def close(self) -> None:
        """Give all numbers back."""
        self._file.close()
