"""The columns of the page's tables: each reads a number from a result, in the units people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.tables import DEGREES, Column, Run, at, header, row, spread

COUNT = Column("count right", at("test", "count_accuracy", factor=100.0), "{:.1f} %")
KINDS = Column("all kinds right", at("test", "kinds_accuracy", factor=100.0), "{:.1f} %")
COUNT_OF = COUNT._replace(form="{:.2f} %", of=at("test", "num_images"))
KINDS_OF = KINDS._replace(form="{:.2f} %", of=at("test", "num_images"))
POSITION = Column("position mm", at("test", "position_error_m", "median", factor=1000.0), "{:.1f}")
POSITION_P90 = Column("p90 mm", at("test", "position_error_m", "p90", factor=1000.0), "{:.1f}")
YAW = Column("yaw °", at("test", "yaw_error_rad", "median", factor=DEGREES), "{:.1f}")
YAW_P90 = Column("p90 °", at("test", "yaw_error_rad", "p90", factor=DEGREES), "{:.1f}")
AZIMUTH = Column("azimuth °", at("test", "camera_error_rad", "azimuth", factor=DEGREES), "{:.2f}")
ELEVATION = Column("elevation °", at("test", "camera_error_rad", "elevation", factor=DEGREES), "{:.2f}")
DISTANCE = Column("distance mm", at("test", "camera_distance_error_m", factor=1000.0), "{:.1f}")
MSSD = Column("MSSD AP", at("test", "mssd_ap"), "{:.3f}")
MSPD = Column("MSPD AP", at("test", "mspd_ap"), "{:.3f}")
MSE = Column("mse", at("test", "reconstruction_mse"), "{:.5f}")
ELBO = Column("ELBO nats", at("test", "elbo"), "{:.0f}")
IWAE = Column("IWAE nats", at("test", "iwae_bound"), "{:.0f}")
# Images of which no sample is allowed by the prior have no bound: the means are over the others.
WITHOUT_BOUND = Column("images without a bound", at("test", "images_without_bound"), "{:.0f}")
MINUTES = Column("minutes", at("seconds", factor=1.0 / 60.0), "{:.1f}")
RENDERS = Column("renders, thousands", at("renders", factor=1e-3), "{:.0f}")
PARAMETERS = Column("weights, thousands", at("parameters", factor=1e-3), "{:.0f}")
MILLISECONDS = Column("ms an image", at("test", "seconds_per_image", factor=1000.0), "{:.2f}")
RENDERS_EACH = Column("renders an image", at("test", "renders_per_image"), "{:.0f}")

SCENE = (COUNT, KINDS, POSITION, YAW, AZIMUTH, ELEVATION)
OF_A_MODEL = (COUNT_OF, KINDS_OF, POSITION, POSITION_P90, YAW, YAW_P90, AZIMUTH, ELEVATION, DISTANCE, MSSD, MSPD, MSE)


_BY_COUNT = (
    Column("count right", at("count_accuracy", factor=100.0), "{:.1f} %"),
    Column("all kinds right", at("kinds_accuracy", factor=100.0), "{:.1f} %"),
    Column("position mm", at("position_error_m", "median", factor=1000.0), "{:.1f}"),
)


def count_table(names: Sequence[str], groups: Mapping[tuple[str, ...], Sequence[Run]]) -> list[str]:
    """Write a line for each group and number of objects: median and range over seeds."""
    lines = header(*names, "objects", "images", *(column.title for column in _BY_COUNT))
    for name, runs in groups.items():
        for rows in zip(*(run["test"]["by_count"] for run in runs), strict=True):
            cells = (spread([column.value(r) for r in rows], column.form) for column in _BY_COUNT)
            lines.append(row(*name, str(rows[0]["objects"]), str(rows[0]["num_images"]), *cells))
    return lines
