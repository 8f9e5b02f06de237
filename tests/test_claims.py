"""The numbers on the pages are those of the results that are kept beside them.

A claim is the sentence, or the row of a table, as it stands on a page, with a field wherever there is a number that a
result holds. A field is what `str.format` knows, `{name[key][key]:form}`, and the form may begin with a unit:
`{alone[position_error_m][median]:mm .1f}` turns metres into millimetres with one digit behind the point. In a list,
a key that is no number finds the element whose "name" it is: `{all[shipped][shipped-amortised][test][elbo]:.0f}`.
"""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

from air3d.cli.bench import markdown
from air3d.renderers.benchmark import Row
from experiments.page import read_results
from experiments.tables import grouped, spread

ROOT = Path(__file__).resolve().parent.parent
TABLETOP = "docs/results/tabletop/results.jsonl"
SINGLE_OBJECT = "docs/results/single-object/results.jsonl"
DIGITS = "docs/results/multi-mnist/results.jsonl"
DIGITS_SPEED, DIGITS_SHIPPED = "benchmarks/digits_speed.json", "docs/results/multi-mnist/shipped.json"

UNITS = {"%": 100.0, "deg": math.degrees(1.0), "mm": 1e3, "cm": 1e2, "ms": 1e3, "minutes": 1 / 60, "thousand": 1e-3}


class Claim(NamedTuple):
    """What a page says, and where it is known from.

    Attributes:
        page: from the root of the repository.
        text: as it stands there, with fields; white space is as good as any other.
        files: JSON files, or results a run a line, by the names that the fields use, from the root of the
            repository. Results come by part.
        more: makes further values from them, such as a median over seeds, by the names that the fields use.
    """

    page: str
    text: str
    files: Mapping[str, str]
    more: Callable[[dict[str, Any]], dict[str, Any]] = lambda found: {}


def by_estimator(found: dict[str, Any]) -> dict[str, Any]:
    """The single-object study by estimator: "median [least, greatest]" over the seeds; test, then validation."""
    quantities: dict[str, tuple[str, Callable[[Any], float | None]]] = {
        "mssd": ("{:.1f}", lambda run: 100.0 * run["test"]["mssd_recall"]),
        "cm": ("{:.2f}", lambda run: 100.0 * run["test"]["position_error_m"]["median"]),
        "cube": ("{:.1f}", lambda run: _degrees(run["test"]["per_kind"]["cube"]["yaw_error_rad"]["median"])),
        "early_kinds": ("{:.0f}", lambda run: 100.0 * run["curve"][1]["kinds_accuracy"]),
        "early_cm": ("{:.1f}", lambda run: 100.0 * run["curve"][1]["position_error_m"]),
        "valid_cm": ("{:.2f}", lambda run: 100.0 * run["curve"][-1]["position_error_m"]),
        "valid_cube": ("{:.1f}", lambda run: _degrees(run["curve"][-1]["yaw_error_rad"]["cube"])),
    }
    cells: dict[str, Any] = {}
    runs = found["study"]["estimators"]
    assert {run["curve"][1]["iteration"] for run in runs} == {100}
    for name in {run["estimator"] for run in runs}:
        of = [run for run in runs if run["estimator"] == name]
        key = name.replace("-", "_")
        cells[key] = {
            what: spread([value for value in map(read_, of) if value is not None], form)
            for what, (form, read_) in quantities.items()
        }
        cells[key] |= {
            f"{what}_{part}": cell.split(" ")[place].rstrip("]")
            for what, cell in cells[key].items()
            for part, place in (("median", 0), ("worst", -1))
        }
    return cells


def _degrees(angle_rad: float | None) -> float | None:
    """The angle in degrees; None where a run found no such object."""
    return None if angle_rad is None else math.degrees(angle_rad)


def by_nats(bound: str, higher: str, lower: str, found: dict[str, Any]) -> dict[str, Any]:
    """By how much one estimator's bound is above another's, over seeds: least and greatest."""
    of = {(run["estimator"], run["seed"]): run["test"][bound] for run in found["study"]["estimators"]}
    gaps = [value - of[lower, seed] for (name, seed), value in of.items() if name == higher]
    return {"low": min(gaps), "high": max(gaps)}


def of_digits(found: dict[str, Any]) -> dict[str, Any]:
    """The 2D experiments: least and greatest over an estimator's seeds; medians of the rest; accuracies of codes."""
    results, values = found["r"], dict[str, Any]()
    for name in ("exact", "nvil"):
        runs = [run for run in results["learning"] if run["estimator"] == name]
        good = [run["test"]["held out"]["count_accuracy"] for run in runs]
        soon = [
            next(point["cpu_seconds"] for point in run["curve"] if point["held out"]["count_accuracy"] >= 0.98)
            for run in runs
        ]
        took = [run["cpu_seconds"] for run in runs]
        values[name] = {"seeds": len(runs), "good": sum(value >= 0.98 for value in good)}
        for what, numbers in (("count", good), ("soon", soon), ("took", took)):
            values[name] |= {f"{what}_low": min(numbers), f"{what}_high": max(numbers)}
    unseen, foreign = dict[str, Any](), dict[str, Any]()
    for (tested, model), group in grouped(results["generalisation"], "tested_on", "model").items():
        tests = [run["test"]["unseen"] for run in group]
        unseen[f"{model} {tested}"] = {"seeds": len(group), "elbo": median(test["elbo"] for test in tests)}
        counts = [test["count_accuracy"] for test in tests]
        if None not in counts:
            seen = median(run["test"]["seen"]["count_accuracy"] for run in group)
            unseen[f"{model} {tested}"] |= {
                "count": median(counts),
                "low": min(counts),
                "high": max(counts),
                "seen": seen,
            }
    for (trained, tested), group in grouped(results["foreign"], "trained_on", "tested_on").items():
        foreign[f"{trained} {tested}"] = median(run["test"]["count_accuracy"] for run in group)
    codes = {f"{run['task']} {run['labels']} {run['code']}": run["accuracy"] for run in results["codes"]}
    return {**values, "unseen": unseen, "foreign": foreign, "codes": codes}


def of_rendering(found: dict[str, Any]) -> dict[str, Any]:
    """The table of `air3d bench render`, and ratios at 64x64 with 3 objects."""
    rows = [Row(**row) for row in found["speed"]["rows"]]
    at = {(row.backend, row.workers): row for row in rows if (row.size, row.objects) == (64, 3)}

    def of(name: str, workers: int) -> dict[str, float | None]:
        row = at[name, workers]
        others = {"tuned": ("tuned", 1), "pool": ("gl_pool", 2), "one": (name, 1)}
        ratios = {key: row.images_per_second / at[other].images_per_second for key, other in others.items()}
        return {"rate": row.images_per_second, "times": row.ratio, **ratios}

    return {
        "raster": of("raster", 2), "pool": of("gl_pool", 2), "warp": of("warp", 1), "table": one_line(markdown(rows))
    }  # fmt: skip


def of_textured(found: dict[str, Any]) -> dict[str, Any]:
    """How `raster` with 2 threads compares with both loops on textured kinds."""
    at = {(row["backend"], row["workers"]): row for row in found["speed"]["rows"]}
    raster, tuned = at["raster", 2], at["tuned", 1]
    keys = {"wall": "images_per_second", "cpu": "images_per_cpu_second"}
    return {"raster": raster, **{name: raster[key] / tuned[key] for name, key in keys.items()}}


# By page. A new claim stands with those of its page.
CLAIMS: tuple[Claim, ...] = (
    # README.md
    Claim(
        "README.md",
        "| {d[kinds_accuracy]:% .1f} % ({d[kinds_right]} of {d[num_images]}) | {d[position_error_m][median]:cm .2f} cm "
        "({d[position_error_m][p90]:cm .2f} cm) | {d[per_kind][cube][yaw_error_rad][median]:deg .1f} deg "
        "({d[per_kind][cube][yaw_error_rad][p90]:deg .1f} deg), "
        "{d[per_kind][cylinder][yaw_error_rad][median]:deg .1f} deg "
        "({d[per_kind][cylinder][yaw_error_rad][p90]:deg .1f} deg) | {d[seconds_total]:.0f} seconds in all",
        {"d": "docs/results/single-object/demo.json"},
    ),
    Claim(
        "README.md",
        "100 % of the kinds, {lr[cm_median]} cm and {lr[cube_median]} degrees of cube rotation (medians over 5 seeds, "
        "worst seed {lr[cm_worst]} cm and {lr[cube_worst]} degrees)",
        {"study": SINGLE_OBJECT},
        by_estimator,
    ),
    Claim("README.md", "{r[rows][exact][times][pyro][median]:.1f} times as fast as one of Pyro's", {"r": DIGITS_SPEED}),
    *(
        Claim(page, text, {"r": DIGITS_SHIPPED})
        for page, text in (
            ("README.md", "count right in {r[results][shipped][test][count_accuracy]:% .2f} % of 10,000"),
            ("assets/README.md", "it counts right in {r[results][shipped][test][count_accuracy]:% .2f} %; on 5,000"),
            (
                "assets/README.md",
                "in {r[results][shipped-pyro][test][count_accuracy]:% .1f} %. The training digits are",
            ),
        )
    ),
    Claim(
        "README.md",
        "gets {exact[count_low]:% .1f} to {exact[count_high]:% .1f} % of counts right on {exact[good]} of "
        "{exact[seeds]} seeds, on composites of MNIST's test digits, after {exact[took_low]:.0f} to "
        "{exact[took_high]:.0f} seconds of one core, and 98 % of those of validation images after "
        "{exact[soon_low]:.0f} to {exact[soon_high]:.0f} seconds",
        {"r": DIGITS},
        of_digits,
    ),
    # docs/faq.md
    Claim(
        "docs/faq.md",
        "beside one busy process two threads that spin trained {r[rows][spinning-2-1][times_one_thread]:.2f} times as "
        "fast as one thread, two that wait passively {r[rows][passive-2-1][times_one_thread]:.2f} times; on idle cores "
        "{r[rows][spinning-2-0][times_one_thread]:.2f} and {r[rows][passive-2-0][times_one_thread]:.2f} times",
        {"r": "benchmarks/busy_threads.json"},
    ),
    # benchmarks/RESULTS.md, and README.md's sentence about it
    Claim(
        "benchmarks/RESULTS.md",
        "{c[settle_cpu_ms]:.0f} ms to settle, {c[ratio]:.1f} times as fast as the loop; "
        "{c[samples_per_second_2_cores]:.0f} samples a second with all pixels and labels. "
        "Of {c[scenes]:,} scenes MuJoCo's deepest contact is "
        "{c[largest_penetration_mm]:.2f} mm, and after a tenth of a second with its own step "
        "{c[share_below_1_mm_s]:% .2f} % are slower than 1 mm/s (scenes are judged with steps of 5 ms; the fastest "
        "of the others has {c[largest_speed_mm_s]:.2f} mm/s); "
        "{c[stepped]} of them, stepped for 2 s, move by at most {c[largest_move_in_2_s_mm]:.2f} mm. YCB, 6 to 10 "
        "objects, 128x128: {y[samples_per_second_2_cores]:.0f} samples a second",
        {"c": "benchmarks/settled_speed.json", "y": "benchmarks/settled_speed_ycb.json"},
    ),
    *(
        Claim("benchmarks/RESULTS.md", text, {"speed": "benchmarks/render_speed.json"}, of_rendering)
        for text in (
            "commit `{speed[provenance][commit]}`",
            "`raster` with 2 threads draws {raster[rate]:,.0f} images/s: {raster[times]:.0f} times the documented "
            "loop, {raster[tuned]:.1f} times the tuned one, {raster[pool]:.1f} times `gl_pool` with 2 processes.",
            "`gl_pool` with 2 processes draws {pool[times]:.0f} times as fast as the documented loop, {pool[one]:.1f} "
            "times as fast as with one process, and {pool[tuned]:.1f} times as fast as the tuned loop.",
            "`warp` on the CPU draws {warp[rate]:,.0f} images/s.",
            "{table}",
        )
    ),
    Claim(
        "README.md",
        "**Rendering** at 64x64 with three objects on 2 cores: {raster[rate]:,.0f} images/s, {raster[times]:.0f} times "
        "the documented `mujoco.Renderer` loop and {raster[tuned]:.1f} times that loop tuned",
        {"speed": "benchmarks/render_speed.json"},
        of_rendering,
    ),
    *(
        Claim(
            "benchmarks/RESULTS.md",
            text,
            {"speed": "benchmarks/render_speed_textured.json", "like": "benchmarks/raster_likeness.json"},
            of_textured,
        )
        for text in (
            "- commit `{speed[provenance][commit]}`; as above, but beside work",
            "`raster` with 2 threads draws {raster[images_per_second]:,.0f} images/s: {raster[ratio]:.0f} times the "
            "documented loop and {wall:.1f} times the tuned one.",
            "it draws {cpu:.1f} times as many as the tuned loop. Its pictures of {like[scenes]} scenes are OpenGL's "
            "with an SSIM of {like[ssim]:.4f} (least {like[least_ssim]:.4f}), of the objects' pixels alone "
            "{like[ssim_of_objects]:.4f}; colours of objects differ by {like[colour_of_objects]:.1f} of 255 in the "
            "mean, and {like[farther_than_a_pixel]} pixels of silhouettes by more than a pixel.",
        )
    ),
    *(
        Claim(
            "benchmarks/RESULTS.md",
            f"| {name} | 1 | {{m[rows][{name}][images]:,}} | {{m[rows][{name}][start_mib]:.1f}} | "
            f"{{m[rows][{name}][end_mib]:.1f}} | {{m[rows][{name}][peak_mib]:.1f}} | "
            f"{{m[rows][{name}][growth_percent]:+.2f}} % |",
            {"m": "benchmarks/render_memory.json"},
        )
        for name in ("gl_pool", "raster", "warp")
    ),
    # docs/estimators/counts.md
    *(
        Claim(
            "docs/estimators/counts.md",
            f"| {{r[rows][{row}][variance]:.2e}} | {{r[rows][{row}][signal_to_noise]:.2f}} | "
            f"{{r[rows][{row}][renders]}} | {{r[rows][{row}][seconds]:.2f}} |",
            {"r": "benchmarks/tune_noise.json"},
        )
        for row in range(6)
    ),
    # docs/digits.md
    *(
        Claim("docs/digits.md", text, {"r": DIGITS}, of_digits)
        for text in (
            "**`exact` learns to count on {exact[good]} of {exact[seeds]} seeds**: {exact[count_low]:% .1f} to "
            "{exact[count_high]:% .1f} % of 10,000 composites of MNIST's test digits after 2,000 iterations, "
            "{exact[took_low]:.0f} to {exact[took_high]:.0f} seconds of one core; 98 % of validation images after "
            "{exact[soon_low]:.0f} to {exact[soon_high]:.0f} seconds. `nvil`, with the same prior of the count, gets "
            "to 98 % on {nvil[good]} of {nvil[seeds]} ({nvil[count_low]:% .1f} to {nvil[count_high]:% .1f} %).",
            "({unseen[DAIR 3][seeds]} seeds: median, least and greatest): after 0, 1 and 2 digits, DAIR counts "
            "{unseen[DAIR 3][count]:% .1f} % ({unseen[DAIR 3][low]:% .1f} to {unseen[DAIR 3][high]:% .1f}) of images "
            "of three, AIR {unseen[AIR 3][count]:% .1f} % ({unseen[AIR 3][low]:% .1f} to {unseen[AIR 3][high]:% .1f}), "
            "and AIR with DAIR's look {unseen[AIR with DAIR's look 3][count]:% .1f} % "
            "({unseen[AIR with DAIR's look 3][low]:% .1f} to {unseen[AIR with DAIR's look 3][high]:% .1f})",
            "DAIR counts {unseen[DAIR 2][count]:% .1f} % of images of two, AIR with DAIR's look "
            "{unseen[AIR with DAIR's look 2][count]:% .1f} % and AIR {unseen[AIR 2][count]:% .1f} %; but both AIRs "
            "call three digits two as well, and count {unseen[AIR with DAIR's look 2][seen]:% .1f} and "
            "{unseen[AIR 2][seen]:% .1f} % of what they were trained on, DAIR {unseen[DAIR 2][seen]:% .1f} %.",
            "trained on `paper`, AIR counts {foreign[paper pyro]:% .1f} % of `pyro` images right (own: "
            "{foreign[paper paper]:% .1f} %); trained on `pyro`, {foreign[pyro paper]:% .1f} % of `paper` images (own: "
            "{foreign[pyro pyro]:% .1f} %)",
            "(3,000: {codes[sum 3000 air, left to right]:% .1f} %, DRAW's {codes[sum 3000 draw]:% .1f} %, the others' "
            "under 9 %; all 60,000: {codes[sum 60000 air, left to right]:% .1f}, {codes[sum 60000 draw]:% .1f}, "
            "{codes[sum 60000 cae]:% .1f} and {codes[sum 60000 cnn on pixels]:% .1f} %)",
            "(100: {codes[ascending 100 air, left to right]:% .1f} %, DRAW's {codes[ascending 100 draw]:% .1f} %; all: "
            "{codes[ascending 60000 air, left to right]:% .1f}, {codes[ascending 60000 draw]:% .1f}, "
            "{codes[ascending 60000 cae]:% .1f} and {codes[ascending 60000 cnn on pixels]:% .1f} %)",
        )
    ),
    *(
        Claim(
            "docs/digits.md",
            f"| {name} | {{r[rows][{name}][images_per_second]:,.0f}} | {{r[rows][{name}][times][pyro][median]:.1f}} "
            f"[{{r[rows][{name}][times][pyro][min]:.1f}}, {{r[rows][{name}][times][pyro][max]:.1f}}] |",
            {"r": DIGITS_SPEED},
        )
        for name in ("exact", "exact bfloat16", "nvil", "step by step", "pyro without checks")
    ),
    Claim(
        "docs/digits.md",
        "greatest of {r[rows][exact][rounds]} rounds; `benchmarks/digits_speed.json`): | | images/s | times Pyro |",
        {"r": DIGITS_SPEED},
    ),
    Claim("docs/digits.md", "| pyro | {r[rows][pyro][images_per_second]:,.0f} | 1 |", {"r": DIGITS_SPEED}),
    Claim(
        "docs/digits.md",
        "without these checks `exact` is {r[rows][exact][times][pyro without checks][median]:.1f} times as fast",
        {"r": DIGITS_SPEED},
    ),
    # docs/environment.md
    *(
        Claim(
            "docs/environment.md",
            f"| {{all[rows][{row}][agent]}} | {{all[rows][{row}][return]:.3f}} "
            f"± {{all[rows][{row}][standard_error]:.3f}} "
            f"| {{all[rows][{row}][explained_at_start]:% .1f}}% | {{all[rows][{row}][explained]:% .1f}}% "
            f"| {{all[rows][{row}][terminated]:% .0f}}% | {{all[rows][{row}][renders]:.0f}} |",
            {"all": "benchmarks/gym_agents.json"},
        )
        for row in range(3)
    ),
    *(
        Claim(
            "docs/environment.md",
            f"| {{all[rows][{row}][envs]}} | {{all[rows][{row}][native_per_second]:,.0f}} "
            f"| {{all[rows][{row}][single_per_second]:,.0f}} | {{all[rows][{row}][ratio]:.1f}} "
            f"| {{all[rows][{row}][native_cpu_ms]:.3f}} | {{all[rows][{row}][single_cpu_ms]:.3f}} "
            f"| {{all[rows][{row}][cpu_ratio]:.1f}} |",
            {"all": "benchmarks/gym_speed.json"},
        )
        for row in range(4)
    ),
    # docs/estimators.md
    *(
        Claim(
            "docs/estimators.md",
            f"| [`{name}`](estimators/{name}.md) | "
            + " | ".join(f"{{{key}[{what}]}}" for what in ("mssd", "cm", "cube", "early_kinds", "early_cm")),
            {"study": SINGLE_OBJECT},
            by_estimator,
        )
        for name in ("rws", "lr", "lr-nvil", "mixture", "fd", "lr-kind", "vimco")
        for key in (name.replace("-", "_"),)
    ),
    *(
        Claim(
            f"docs/estimators/{name}.md",
            "| "
            + " | ".join(f"{{{name.replace('-', '_')}[{what}]}}" for what in ("mssd", "cm", "cube", "early_kinds"))
            + " |",
            {"study": SINGLE_OBJECT},
            by_estimator,
        )
        for name in ("rws", "lr", "lr-nvil", "mixture", "fd", "lr-kind", "vimco")
    ),
    *(
        Claim(
            page,
            "by {low:.1f} to {high:.1f} nats on every seed",
            {"study": SINGLE_OBJECT},
            partial(by_nats, "elbo", "lr", "rws"),
        )
        for page in ("docs/estimators.md", "docs/estimators/lr.md")
    ),
    Claim(
        "docs/estimators.md",
        "the higher 16-sample bound, by {low:.1f} to {high:.1f} nats on every seed",
        {"study": SINGLE_OBJECT},
        partial(by_nats, "iwae_bound", "rws", "lr"),
    ),
    Claim(
        "docs/estimators.md",
        "position {rws[valid_cm_median]} and {lr[valid_cm_median]} cm, cube yaw {rws[valid_cube_median]} and "
        "{lr[valid_cube_median]} degrees (`rws` and `lr`, medians over the five seeds)",
        {"study": SINGLE_OBJECT},
        by_estimator,
    ),
    # README.md: the shipped weights of 3D scenes
    *(
        Claim(
            "README.md",
            row,
            {
                "alone": "docs/results/shipped/tabletop.json",
                "refined": "docs/results/shipped/tabletop-refined.json",
                "timed": TABLETOP,
            },
        )
        for row in (
            "| count right | {alone[count_right]:,} of {alone[num_images]:,} "
            "| {refined[count_right]:,} of {refined[num_images]:,} |",
            "| all kinds right | {alone[kinds_right]:,} of {alone[num_images]:,} "
            "| {refined[kinds_right]:,} of {refined[num_images]:,} |",
            "| objects missed, invented "
            "| {alone[missed_objects]:,} of {alone[true_objects]:,}, {alone[extra_objects]:,} "
            "| {refined[missed_objects]:,} of {refined[true_objects]:,}, {refined[extra_objects]:,} |",
            "| position error, median (p90) "
            "| {alone[position_error_m][median]:mm .1f} mm ({alone[position_error_m][p90]:mm .1f} mm) "
            "| {refined[position_error_m][median]:mm .1f} mm ({refined[position_error_m][p90]:mm .1f} mm) |",
            "| mug's yaw, handle hidden or not, median (p90) "
            "| {alone[per_kind][mug][yaw_error_rad][median]:deg .1f} deg "
            "({alone[per_kind][mug][yaw_error_rad][p90]:deg .0f} deg) "
            "| {refined[per_kind][mug][yaw_error_rad][median]:deg .1f} deg "
            "({refined[per_kind][mug][yaw_error_rad][p90]:deg .0f} deg) |",
            "| camera azimuth, median (p90) "
            "| {alone[camera_error_rad][azimuth]:deg .2f} deg ({alone[camera_error_p90_rad][azimuth]:deg .2f} deg) "
            "| {refined[camera_error_rad][azimuth]:deg .2f} deg "
            "({refined[camera_error_p90_rad][azimuth]:deg .2f} deg) |",
            "| camera elevation, median (p90) "
            "| {alone[camera_error_rad][elevation]:deg .2f} deg ({alone[camera_error_p90_rad][elevation]:deg .2f} deg) "
            "| {refined[camera_error_rad][elevation]:deg .2f} deg "
            "({refined[camera_error_p90_rad][elevation]:deg .2f} deg) |",
            "| camera distance, median (p90) "
            "| {alone[camera_distance_error_m]:mm .1f} mm ({alone[camera_distance_error_p90_m]:mm .1f} mm) "
            "| {refined[camera_distance_error_m]:mm .1f} mm ({refined[camera_distance_error_p90_m]:mm .1f} mm) |",
            "| average precision of 6D detection (BOP): MSSD, MSPD | {alone[mssd_ap]:.3f}, {alone[mspd_ap]:.3f} "
            "| {refined[mssd_ap]:.3f}, {refined[mspd_ap]:.3f} |",
            "| renders an image | {alone[renders_per_image]} | {refined[renders_per_image]} |",
            "Regions that hold 50 and 90 % of q's own draws hold the truth in "
            "{alone[calibration][position_m][coverage][0.5]:% .0f} and "
            "{alone[calibration][position_m][coverage][0.9]:% .0f} % of positions, "
            "{alone[calibration][camera_azimuth_rad][coverage][0.5]:% .0f} and "
            "{alone[calibration][camera_azimuth_rad][coverage][0.9]:% .0f} % of azimuths.",
            "in batches of 128 on one core an answer takes {timed[shipped][shipped-time][time][batched]:.1f} ms.",
        )
    ),
    Claim(
        "README.md",
        "| shipped weights `single-object` (4,000 iterations, seed 0), {one[num_images]:,} scenes "
        "| {one[kinds_right]:,} of {one[num_images]:,} "
        "| {one[position_error_m][median]:cm .2f} cm ({one[position_error_m][p90]:cm .2f} cm) "
        "| {one[per_kind][cube][yaw_error_rad][median]:deg .1f} deg "
        "({one[per_kind][cube][yaw_error_rad][p90]:deg .1f} deg), "
        "{one[per_kind][cylinder][yaw_error_rad][median]:deg .1f} deg "
        "({one[per_kind][cylinder][yaw_error_rad][p90]:deg .1f} deg) |",
        {"one": "docs/results/shipped/single-object.json"},
    ),
    *(
        Claim(
            page,
            "count right in {all[perturbed][six-kinds-inference-1][test][count_accuracy]:% .1f} %, "
            "kinds in {all[perturbed][six-kinds-inference-1][test][kinds_accuracy]:% .1f} % of 1,000",
            {"all": TABLETOP},
        )
        for page in ("README.md", "docs/results/tabletop/findings.md")
    ),
    *(
        Claim(
            page,
            "{all[perturbed][six-kinds-display-1][test][count_accuracy]:% .1f} % and "
            "{all[perturbed][six-kinds-display-1][test][kinds_accuracy]:% .1f} %",
            {"all": TABLETOP},
        )
        for page in ("README.md", "docs/results/tabletop/findings.md")
    ),
    # docs/tabletop.md
    *(
        Claim(
            "docs/tabletop.md",
            f"| {words} | {{all[perturbed][six-kinds-inference-1][test]{key}:{form}}} {unit} "
            f"| {{all[perturbed][six-kinds-display-1][test]{key}:{form}}} {unit} |",
            {"all": TABLETOP},
        )
        for words, key, form, unit in (
            ("count right", "[count_accuracy]", "% .1f", "%"),
            ("kinds right", "[kinds_accuracy]", "% .1f", "%"),
            ("position error, median", "[position_error_m][median]", "mm .1f", "mm"),
            ("yaw of mug, pan and teapot, median", "[yaw_error_rad][median]", "deg .1f", "deg"),
        )
    ),
    *(
        Claim(
            "docs/tabletop.md",
            f"| {words} | {{all[runs][{name}][validation][elbo]:.1f}} "
            f"| {{all[runs][{name}][validation][iwae_bound]:.1f}} "
            f"| {{all[runs][{name}][validation][images_without_bound]}} "
            f"| {{all[runs][{name}][validation][count_accuracy]:% .1f}} % "
            f"| {{all[runs][{name}][validation][kinds_accuracy]:% .1f}} % "
            f"| {{all[runs][{name}][validation][position_error_m][median]:mm .1f}} mm "
            f"| {{all[runs][{name}][validation][mssd_ap]:.3f}} |",
            {"all": "docs/results/tabletop/tuning.json"},
        )
        for name, words in (
            ("base", "asleep, where all start"),
            ("lr-dreams", "`lr`: 16 images and 32 dreams a step, the default"),
            ("lr-alone", "`lr` without dreams: `--train.dreams 0`"),
            ("dreams-alone", "the same dreams without the images"),
        )
    ),
    # docs/any-pose.md
    *(
        Claim(
            "docs/any-pose.md",
            f"| {table} | {words} | {{r[num_images]}} | {{r[count_accuracy]:% .1f}} % | {{r[kinds_accuracy]:% .1f}} % "
            "| {r[position_error_m][median]:mm .1f} mm | {r[rotation_error_rad][median]:deg .1f} deg "
            "| {r[mssd_ap]:.3f} | {r[renders_per_image]} |",
            {"r": f"docs/results/any-pose/settled-{table}{name}.json"},
        )
        for table in ("round", "rectangle", "square")
        for words, name in (("network alone", ""), ("`--refine 400`", "-refined"))
    ),
    *(
        Claim(
            "docs/any-pose.md",
            f"| {sees} | {words} | {{r[num_images]}} | {{r[count_accuracy]:% .1f}} % | {{r[kinds_accuracy]:% .1f}} % "
            "| {r[position_error_m][median]:mm .1f} mm | {r[rotation_error_rad][median]:deg .1f} deg "
            "| {r[mssd_ap]:.3f} | {r[renders_per_image]} |",
            {"r": f"docs/results/any-pose/ycb{with_depth}{name}.json"},
        )
        for sees, with_depth in (("colours", ""), ("colours and depth", "-depth"))
        for words, name in (("network alone", ""), ("`--refine 400`", "-refined"))
    ),
    Claim(
        "docs/any-pose.md",
        "The camera's azimuth is off by {r[camera_error_rad][azimuth]:deg .2f} degrees, its distance by "
        "{r[camera_distance_error_m]:mm .1f} mm (medians, round table).",
        {"r": "docs/results/any-pose/settled-round.json"},
    ),
    Claim(
        "docs/any-pose.md",
        "Of the objects on the round table, {r[per_kind][mug][rotation_error_rad][median]:deg .1f} degrees of a mug, "
        "{r[per_kind][pan][rotation_error_rad][median]:deg .1f} of a pan, "
        "{r[per_kind][teapot][rotation_error_rad][median]:deg .1f} of a teapot; refined "
        "{p[per_kind][mug][rotation_error_rad][median]:deg .1f}, "
        "{p[per_kind][pan][rotation_error_rad][median]:deg .1f} and "
        "{p[per_kind][teapot][rotation_error_rad][median]:deg .1f}.",
        {"r": "docs/results/any-pose/settled-round.json", "p": "docs/results/any-pose/settled-round-refined.json"},
    ),
    Claim(
        "docs/any-pose.md",
        "Regions that hold 50, 80 and 90 % of q's own draws hold the truth in "
        "{r[calibration][camera_azimuth_rad][coverage][0.5]:% .0f}, "
        "{r[calibration][camera_azimuth_rad][coverage][0.8]:% .0f} and "
        "{r[calibration][camera_azimuth_rad][coverage][0.9]:% .0f} % of azimuths, "
        "{r[calibration][position_m][coverage][0.5]:% .0f}, {r[calibration][position_m][coverage][0.8]:% .0f} and "
        "{r[calibration][position_m][coverage][0.9]:% .0f} % of positions, "
        "{r[calibration][rotation_rad][coverage][0.5]:% .0f}, {r[calibration][rotation_rad][coverage][0.8]:% .0f} and "
        "{r[calibration][rotation_rad][coverage][0.9]:% .0f} % of rotations (round table).",
        {"r": "docs/results/any-pose/settled-round.json"},
    ),
    # docs/results/tabletop/findings.md
    Claim(
        "docs/results/tabletop/findings.md",
        "Regions that hold 50 and 90 % of the guide's own draws hold the truth in "
        "{all[shipped][shipped-amortised][test][calibration][camera_azimuth_rad][coverage][0.5]:% .0f} and "
        "{all[shipped][shipped-amortised][test][calibration][camera_azimuth_rad][coverage][0.9]:% .0f} % of "
        "azimuths, {all[shipped][shipped-amortised][test][calibration][camera_elevation_rad][coverage][0.5]:% "
        ".0f} and {all[shipped][shipped-amortised][test][calibration][camera_elevation_rad][coverage][0.9]:% "
        ".0f} % of elevations, "
        "{all[shipped][shipped-amortised][test][calibration][camera_distance_m][coverage][0.5]:% .0f} and "
        "{all[shipped][shipped-amortised][test][calibration][camera_distance_m][coverage][0.9]:% .0f} % of "
        "distances: as they should; and in "
        "{all[shipped][shipped-amortised][test][calibration][position_m][coverage][0.5]:% .0f} and "
        "{all[shipped][shipped-amortised][test][calibration][position_m][coverage][0.9]:% .0f} % of "
        "positions: a little too wide. Importance weights leave "
        "{all[shipped][shipped-amortised][test][effective_samples][median]:.1f} effective of "
        "{all[shipped][shipped-amortised][test][bound_samples]} draws, so nothing is said of the weighted "
        "posterior.",
        {"all": TABLETOP},
    ),
    Claim(
        "docs/results/tabletop/findings.md",
        "is ahead of images alone in place and AP: "
        "{all[perturbed][trained-without-perturbation-seed-0-inference-0][test][position_error_m][median]:mm .1f} mm, "
        "{all[perturbed][trained-without-perturbation-seed-0-inference-0][test][mssd_ap]:.3f}",
        {"all": TABLETOP},
    ),
    Claim(
        "docs/results/tabletop/findings.md",
        "the camera to {all[shipped][shipped-amortised][test][camera_error_rad][azimuth]:deg .2f} degrees, "
        "and a mug's yaw to {all[shipped][shipped-yaw][yaw][mug][shown][median]:deg .1f} degrees where it can be seen",
        {"all": TABLETOP},
    ),
)


class Filled(string.Formatter):
    """`str.format` over JSON values, with units and elements of lists by name."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        name, *keys = re.findall(r"[^\[\]]+", field_name)
        value: Any = kwargs[name]
        for key in keys:
            if isinstance(value, list):
                value = value[int(key)] if key.isdigit() else next(item for item in value if item["name"] == key)
            else:
                value = value[key]
        return value, name

    def format_field(self, value: Any, format_spec: str) -> str:
        unit, _, form = format_spec.rpartition(" ")
        return format(value * UNITS[unit] if unit else value, form)


@cache
def read(path: str) -> Any:
    file = ROOT / path
    return read_results(file) if file.suffix == ".jsonl" else json.loads(file.read_text(encoding="utf-8"))


def one_line(text: str) -> str:
    return " ".join(text.split())


def check(claim: Claim, page: str) -> None:
    """Fail unless the claim stands on the page with its numbers, and say what stands there instead."""
    found = {name: read(path) for name, path in claim.files.items()}
    text, page = one_line(claim.text), one_line(page)
    wanted = Filled().vformat(text, (), {**found, **claim.more(found)})
    if wanted in page:
        return
    pattern = "".join(
        re.escape(words) + ("" if field is None else r"(?:\S{1,12}?)") for words, field, *_ in Filled().parse(text)
    )
    there = re.search(pattern, page)
    stands = there.group() if there else "no such sentence or row"
    pytest.fail(f"{claim.page}\n  the result says: {wanted}\n  the page says:   {stands}")


@pytest.mark.parametrize("claim", CLAIMS, ids=[f"{claim.page}: {claim.text[:40]}" for claim in CLAIMS])
def test_what_a_page_claims_is_what_was_measured(claim: Claim) -> None:
    check(claim, (ROOT / claim.page).read_text(encoding="utf-8"))


def test_another_number_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [{"name": "a b", "error": {"median": 0.00149}}, {"name": "other", "error": {"median": 1.0}}]
    monkeypatch.setitem(globals(), "read", lambda path: {"runs": runs, "right": 1999, "of": 2000})
    text = "off by {r[runs][a b][error][median]:mm .1f} mm, {r[right]:,} of {r[of]:,}, {share:% .2f} %"
    claim = Claim("page.md", text, {"r": "any.json"}, lambda found: {"share": found["r"]["right"] / found["r"]["of"]})
    check(claim, "It is off by\n1.5 mm, 1,999 of 2,000,   99.95 %.")
    with pytest.raises(pytest.fail.Exception, match=r"says: off by 1\.5 mm.*\n.*page says:\s+off by 1\.4 mm"):
        check(claim, "It is off by 1.4 mm, 1,999 of 2,000, 99.95 %.")
    with pytest.raises(pytest.fail.Exception, match="no such sentence"):
        check(claim, "It is off.")


def test_the_readmes_test_sets_come_from_seeds_that_nothing_else_uses() -> None:
    """A number that was tuned on, or trained on, is no test: each seed stands in the README, and nowhere else."""
    shipped = {read(str(path.relative_to(ROOT)))["data"]["seed"] for path in (ROOT / "docs/results/shipped").glob("*")}
    assert len(shipped) == 2
    texts = {
        path: path.read_text(encoding="utf-8")
        for folder in ("air3d", "assets", "benchmarks", "datasets", "docs", "renderers", "scene3d")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md") or path.name == "config.json"
    }
    for seed in shipped:
        assert f"--seed {seed}" in one_line((ROOT / "README.md").read_text(encoding="utf-8"))
        assert [str(path) for path, text in texts.items() if re.search(rf"\b{seed}\b", text)] == []
