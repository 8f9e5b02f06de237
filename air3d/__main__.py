"""Runs `python -m air3d`."""

from air3d.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
