"""The columns of the page's tables: each reads a number from a result, in the units people read."""

from __future__ import annotations

from experiments.tables import DEGREES, Column, at

KINDS = Column("kinds right", at("test", "kinds_accuracy", factor=100.0), "{:.1f} %")
POSITION = Column("position cm", at("test", "position_error_m", "median", factor=100.0), "{:.2f}")
CUBE, CYLINDER = (
    Column(f"{kind} yaw", at("test", "per_kind", kind, "yaw_error_rad", "median", factor=DEGREES), "{:.1f}")
    for kind in ("cube", "cylinder")
)
RAW_CUBE, RAW_CYLINDER = (
    Column("raw", at("test", "raw_yaw_error_rad", kind, factor=DEGREES), "{:.0f}") for kind in ("cube", "cylinder")
)
MSSD = Column("MSSD", at("test", "mssd_recall", factor=100.0), "{:.1f} %")
MSE = Column("mse", at("test", "reconstruction_mse"), "{:.5f}")
MILLISECONDS = Column("ms an image", at("test", "seconds_per_image", factor=1000.0), "{:.2f}")
RENDERS_EACH = Column("renders an image", at("test", "renders_per_image"), "{:.0f}", alike=True)
IMAGES = Column("images", at("test", "num_images"), "{:.0f}", alike=True)
RENDERS = Column("renders", at("renders"), "{:,.0f}", alike=True)
SECONDS = Column("seconds", at("seconds"), "{:.0f}")
