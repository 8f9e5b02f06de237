"""Recognises files that a failed download or a checkout often leaves in place of the real one."""

from __future__ import annotations


def wrong_file(head: bytes) -> str | None:
    """Say what a file is instead, and what to do, in words following its name; None if its beginning tells nothing."""
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: run 'git lfs pull' where it was checked out"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not the file itself: download the file again, by its raw link"
    return None
