"""Chooses the device that MuJoCo Warp draws on, starts Warp quietly, and keeps it in turn with torch."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

import warp as wp

from air3d.scene3d.cache_folder import stand_in
from air3d.scene3d.errors import InputError

_LOG_WARNING = 30


def pick_device(name: str | None) -> wp.Device:
    """Return the Warp device called `name`, or the best there is; Warp is told to say less.

    Raises:
        InputError: if there is no such device, or no place for compiled kernels.
    """
    # Warp's banner and a line for each kernel that it loads are no part of what a program prints.
    wp.config.log_level = max(wp.config.log_level, _LOG_WARNING)
    if not (wp.config.kernel_cache_dir or os.environ.get("WARP_CACHE_PATH")) and (folder := stand_in("warp")):
        wp.config.kernel_cache_dir = str(folder / wp.config.version)
    try:
        with _without_cuda_warning():
            wp.init()
    except OSError as error:
        raise InputError(
            f"renderer 'warp' cannot keep its kernels ({error}); let WARP_CACHE_PATH name a folder"
        ) from None
    try:
        if name is not None:
            return wp.get_device(name)
        return wp.get_device("cuda:0" if wp.is_cuda_available() else "cpu")
    except (ValueError, RuntimeError):
        known = ", ".join(str(device) for device in wp.get_devices())
        raise InputError(f"renderer 'warp': no device '{name}' here; use one of {known}") from None


@contextlib.contextmanager
def in_turn_with_torch(device: wp.Device) -> Iterator[None]:
    """On CUDA, let Warp's work inside wait for torch's current stream, and that stream's later work wait for it."""
    if not device.is_cuda:
        yield
        return
    theirs = wp.stream_from_torch(wp.device_to_torch(device))
    device.stream.wait_stream(theirs)
    try:
        yield
    finally:
        theirs.wait_stream(device.stream)


@contextlib.contextmanager
def _without_cuda_warning() -> Iterator[None]:
    """Keep Warp's native line about a missing CUDA driver off the screen: a CPU is a device like others."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            lines = [line for line in said.readlines() if b"Could not find or load the NVIDIA CUDA driver" not in line]
            if lines:
                os.write(2, b"".join(lines))
