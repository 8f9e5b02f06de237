"""Part 3: draws the table from above, the truth beside the answer, for the first test images (Figure 7)."""

from __future__ import annotations

from air3d.evaluation.top_view_figure import Panel, top_view_figure
from air3d.scene3d.scene_json import scene_to_dict
from air3d.scenes.store import load_model
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tabletop import images_alone
from experiments.tabletop.measure import point
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, fingerprint, label_name

PART: Part = "top-view"
TITLE = "3. From above"
ROWS = ("image", "answer, drawn", "from above")


def run(bench: Workbench) -> None:
    """Run the first seed that learned from images alone, and the shipped model."""
    found = dict(list(images_alone.models(bench).items())[:1])
    if not found:
        bench.kept.say(f"{PART}: no run of images-alone yet; run --parts {images_alone.PART} first")
    for label, folder in (found | bench.models(PART, "shipped")).items():
        _one(bench, label, folder)


def _one(bench: Workbench, label: str, folder: str) -> Result:
    name = label_name(label)

    def make() -> Result:
        model = load_model(str(folder)).model
        data = bench.test_set(model.prior, model.image_size.height)
        images, truth = data.images[: bench.plan.shown], data.truth[: bench.plan.shown]
        with bench.renderer(model.render_config) as renderer:
            inferred = model.infer(images, renderer).scenes
            drawn = renderer.render(inferred)
        pairs = list(zip(truth.to_scenes(), inferred.to_scenes(), strict=True))
        panels = [Panel(rows, *pair) for rows, pair in zip(zip(images, drawn, strict=True), pairs, strict=True)]
        bench.kept.keep(PART, name, top_view_figure(panels, ROWS))
        scenes = [{"truth": scene_to_dict(true), "inferred": scene_to_dict(found)} for true, found in pairs]
        return {"model": label, "shown": point(truth, inferred), "scenes": scenes}

    return bench.kept.once(PART, name, {**fingerprint(label, folder), "shown": bench.plan.shown}, make)


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    page.text(
        "The first test images, not selected. Filled: the true objects, in their colours, and the true camera; red: "
        "what was inferred, camera included. The table is turned so that the true camera is below."
    )
    for run in runs:
        wrong = [
            i + 1
            for i, pair in enumerate(run["scenes"])
            if sorted(o["kind"] for o in pair["truth"]["objects"])
            != sorted(o["kind"] for o in pair["inferred"]["objects"])
        ]
        verdict = f"kinds wrong in column {', '.join(map(str, wrong))}" if wrong else "all kinds right"
        alt = (
            f"{len(run['scenes'])} test images, the answers of the model ({run['model']}) drawn, and true and inferred "
            f"scenes from above; {verdict}."
        )
        page.text(f"Model: {run['model']}.")
        name = run["name"]
        page.figure(f"{PART}-{name}.png", kept.path(PART, name, ".png").read_bytes, alt)
    return page
