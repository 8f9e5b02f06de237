"""Part 5: measures a trained model on six kinds, up to six items, by the number of items."""

from __future__ import annotations

from air3d.scenes.store import load_model
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tables import grouped, run_table
from experiments.tabletop import columns as c
from experiments.tabletop.columns import count_table
from experiments.tabletop.measure import measured
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, fingerprint, label_name

PART: Part = "six-kinds"
TITLE = "5. Six kinds, up to six items"


def run(bench: Workbench) -> None:
    """Run the model that the plan names, on scenes of its own prior."""
    for label, name in bench.models(PART, "six kinds").items():
        _one(bench, label, name)


def _one(bench: Workbench, label: str, name: str) -> Result:
    def make() -> Result:
        model = load_model(name).model
        prior, size = model.prior, model.image_size.height
        data = bench.test_set(prior, size)
        about = {"kinds": list(prior.kinds), "most": prior.max_objects, "size": size}
        return {"model": label, **about, "test": measured(bench, model, data, 0)}

    return bench.kept.once(PART, label_name(label), {**fingerprint(label, name), "test": bench.plan.test}, make)


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    for run in runs:
        page.text(f"Kinds: {', '.join(run['kinds'])}; up to {run['most']} items; {run['size']}x{run['size']} pixels.")
    page.text(
        *run_table(
            ["model"], [([run["model"]], run) for run in runs], (*c.OF_A_MODEL, c.ELBO, c.WITHOUT_BOUND, c.MILLISECONDS)
        )
    )
    page.text("By the number of items:", "", *count_table(["model"], grouped(runs, "model")))
    return page
