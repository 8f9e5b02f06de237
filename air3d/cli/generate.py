"""`air3d generate tabletop` and `air3d generate single`: write a dataset, or finish and repair one."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

import air3d
from air3d.cli.arguments import OptionalFile, OptionalFolder, OptionalModel, OptionalNumber, typed_word
from air3d.cli.json_file import check_json_file, write_json
from air3d.cli.progress import ProgressReport, say
from air3d.cli.vary import parse_vary, perturbation, sensor
from air3d.datasets.backdrop import Backdrop
from air3d.datasets.build import Build, Engine, Part, versions
from air3d.datasets.config import MAX_SIZE, MIN_SIZE, GenerateConfig, Sharding, default_scenes_per_shard
from air3d.datasets.image_size import ImageSize
from air3d.datasets.picture_folder import PictureFolder, read_picture_folder, worn_pictures
from air3d.datasets.ray_engine import LOCAL, make_shards_on_ray
from air3d.datasets.recipe import Recipe, SceneRecipe
from air3d.renderers.choice import Backend, choose_backend, make_renderer
from air3d.scene3d.catalog import CROCKERY, PRIMITIVES
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.own_kinds import packed
from air3d.scene3d.pose_models import PoseModelName
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import Perturbation, PriorConfig
from air3d.scene3d.scene import Shape
from air3d.scene3d.textures import SIDE_PX
from air3d.scene3d.world_file import read_world, world_arguments

if TYPE_CHECKING:
    from air3d.scenes.model import SceneModel

EngineName = Literal["local", "ray"]
# Pictures are kept with a shorter side of so many images' sides: a backdrop is half of one, or more.
_PICTURES_PER_IMAGE = 2


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class BuildArgs:
    """Arguments that every command takes which writes a dataset."""

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FOLDER")]]
    """Folder of the dataset. Running the same command again finishes or repairs it."""
    num: Annotated[int, tyro.conf.arg(metavar="N")]
    """Number of images."""
    seed: Annotated[int, tyro.conf.arg(metavar="S")]
    """Image i depends on the settings, this seed and i alone."""
    scenes_per_shard: OptionalNumber = None
    """How many images a shard holds; default: 32 to 512, depending on --num."""
    workers: int = usable_cores()
    """Processes that draw the images; the result does not depend on it."""
    engine: EngineName = "local"
    """local: --workers processes of this machine; ray: all cores of a Ray cluster, which needs no shared folder."""
    ray_address: str | None = None
    """HOST:PORT of the cluster's head; default: RAY_ADDRESS, else a cluster of this machine for this command alone."""
    shard: str = "0/1"
    """i/n with i from 0 to n-1: make only every n-th shard, from the i-th on. All n parts together, made on one
    machine or many, in one folder or copied into one, are the whole dataset."""
    quiet: bool = False
    """Show neither progress nor a summary."""
    json: OptionalFile = None
    """File to which the summary is written as JSON: how many were made and how many found, in how many seconds."""

    @property
    def shard_size(self) -> int:
        """How many images a shard holds."""
        return default_scenes_per_shard(self.num) if self.scenes_per_shard is None else self.scenes_per_shard

    def check(self) -> Part:
        """Return the part of the dataset that is asked for.

        Raises:
            InputError: if there is no such part, or nobody is to draw it.
        """
        if self.workers < 1:
            raise InputError(f"--workers {self.workers}: use 1 or more")
        return Part.parse(self.shard)


@dataclass(frozen=True, kw_only=True)
class SceneArgs(BuildArgs):
    """Arguments that both commands take which write scenes."""

    size: Annotated[str, tyro.conf.arg(metavar="SIDE|WIDTHxHEIGHT")] = "64"
    """Size of the images, pixels: the side of square ones, or as 160x120."""
    perturb: bool = False
    """Vary size, colour and light a little."""
    vary: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME[=STRENGTH]")] = ()
    """Vary size, colour, shape (of crockery), lights, texture, backdrop, blur, noise, jpeg, depth_noise from scene to
    scene, each with a strength from 0 to 1, by default 1: --vary colour=0.5 backdrop. What is named here goes before
    --perturb."""
    variants: int = 16
    """How many variants of each family of crockery --vary shape draws from."""
    pictures: OptionalFolder = None
    """Folder of pictures: half of the backdrops are cut from them, half of the textures are some of them. The dataset
    does not need it afterwards."""
    min_visible: float = 0.1
    """Redraw a scene if an object's visible share is below this (0 to 1)."""
    detail: Literal["inference", "display"] = "inference"
    """inference: meshes of few triangles, no shadows; display: smooth meshes with shadows."""
    objects: Path | None = None
    """TOML file that describes own kinds (mesh, size, colour, symmetry) which --kinds may name; or the folder of a
    dataset or model that has some. The dataset carries them: reading it needs neither the file nor the mesh."""
    renderer: Backend = "auto"
    """The renderer; auto takes OpenGL if it works here, else raster, or warp for display detail."""

    @property
    def image_size(self) -> ImageSize:
        """The size that --size asks for."""
        return ImageSize.parse("--size", self.size, MIN_SIZE, MAX_SIZE)

    @property
    def perturbation(self) -> Perturbation:
        """The perturbation that --perturb and --vary ask for."""
        return perturbation(self.strengths, self.perturb)

    @property
    def strengths(self) -> dict[str, float]:
        """The strengths that --vary gives, by name."""
        return parse_vary(self.vary)


@dataclass(frozen=True)
class TabletopArgs(SceneArgs):
    """Write a dataset of several objects on a table, seen by a free camera.

    Example: air3d generate tabletop data/table --num 1000 --seed 0 --kinds mug plate bowl.
    """

    kinds: tuple[str, ...] = CROCKERY[:3]
    """Kinds to draw from: air3d's by name; own ones by file (mesh, MJCF, URDF, TOML), by folder, or by name
    (--objects)."""
    min_objects: int = 0
    """Fewest objects in a scene."""
    max_objects: int = 3
    """Most objects in a scene."""
    repeat: bool = True
    """Whether a kind may occur more than once in a scene."""
    table: Shape = "round"
    """Shape of the table; a rectangle is half as long again along x as along y, a bin a square between walls 8 cm
    high."""
    pose: PoseModelName = "upright"
    """How objects are posed: upright, none touching another; resting, each by itself in one of its stable poses;
    settled, dropped by physics until they lie still, on and in each other; or free, in the air above the table, turned
    in any way."""
    camera_roll: Annotated[float, tyro.conf.arg(metavar="DEG")] = 0.0
    """Roll the camera about its optical axis, by at most so many degrees to either side."""
    camera_aim: Annotated[float, tyro.conf.arg(metavar="DEG")] = 0.0
    """Aim the camera beside the table's middle, along x and y by at most so many degrees. Inference knows cameras alone
    that are neither rolled nor aimed beside it."""
    camera_shift: Annotated[tuple[float, float], tyro.conf.arg(metavar="RIGHT DOWN")] = (0.0, 0.0)
    """Principal point: how far to the right of the image's middle, and below it, as shares of its height."""

    like: OptionalModel = None
    """Model, trained or shipped: draw scenes of the sort that it knows, with its kinds, numbers, poses and cameras, on
    that of its tables which --table names, in images of its size; options that are given here go before it."""

    world: OptionalFile = None
    """World (TOML, as air3d world import writes it) that says kinds, surfaces, cameras, light, poses and numbers of
    objects; options that are given here go before it."""

    def prior(self) -> PriorConfig:
        """The prior that scenes are drawn from.

        Raises:
            InputError: for values that cannot be used.
        """
        if self.world is not None:
            return self._of_world(self.world)
        if self.like is not None:
            return self._like(self.like)
        return tabletop_prior(
            self.kinds,
            self.min_objects,
            self.max_objects,
            self.repeat,
            self.perturbation,
            self.table,
            self.pose,
            math.radians(self.camera_roll),
            math.radians(self.camera_aim),
            self.camera_shift,
        )

    def _of_world(self, file: Path) -> PriorConfig:
        self._refuse({"--table": self.table != "round", "--like": self.like} | self._cameras, str(file))
        return replace(self._with_objects(read_world(file)), perturb=self.perturbation)

    def _like(self, name: str) -> PriorConfig:
        self._refuse(self._cameras, name)
        known = [place.prior for place in _known(name).places]
        prior = next((prior for prior in known if prior.table.shape == self.table), None)
        if prior is None:
            shapes = " or ".join(prior.table.shape for prior in known)
            raise InputError(f"--table {self.table}: {name} knows tables that are {shapes}")
        given = self.perturb or self.vary
        changed = replace(self._with_objects(prior), perturb=self.perturbation if given else prior.perturb)
        if changed.pose == prior.pose:
            return changed
        return replace(changed, free_height_m=prior.table.place_radius_m if changed.pose == "free" else 0.2)

    @property
    def _cameras(self) -> dict[str, object]:
        return {
            "--camera-roll": self.camera_roll,
            "--camera-aim": self.camera_aim,
            "--camera-shift": any(self.camera_shift),
        }

    def _refuse(self, given: dict[str, object], other: str) -> None:
        for option in (option for option, value in given.items() if value):
            raise InputError(f"{option}: {other} says surfaces and cameras; leave out one of both")

    def _with_objects(self, prior: PriorConfig) -> PriorConfig:
        return replace(
            prior,
            kinds=self.kinds,
            min_objects=self.min_objects,
            max_objects=self.max_objects,
            repeat=self.repeat,
            pose=self.pose,
        )


def _known(name: str) -> SceneModel[Any]:
    from air3d.scenes.store import load_model  # torch, which datasets are made without

    return load_model(name).model


def _arguments_like(name: str) -> dict[str, Any]:
    """The options of scenes such as a model knows, but for cameras, by their names."""
    model = _known(name)
    prior = model.prior
    return {
        "kinds": prior.kinds,
        "min_objects": prior.min_objects,
        "max_objects": prior.max_objects,
        "repeat": prior.repeat,
        "pose": prior.pose,
        "table": prior.table.shape,
        "size": str(model.image_size),
    }


def tabletop_defaults(argv: list[str]) -> TabletopArgs:
    """Make the arguments' defaults: a world, or a model, brings its own; typed options win.

    Raises:
        InputError: for a world or a model that cannot be read.
    """
    world, like = (typed_word(option, argv) for option in ("--world", "--like"))
    # A file that is not there is named when it is to be read.
    own = {} if world is None or not os.path.isfile(world) else world_arguments(Path(world))
    if like is not None and world is None:
        own = _arguments_like(like)
    return TabletopArgs(out=tyro.MISSING, num=tyro.MISSING, seed=tyro.MISSING, **own)


@dataclass(frozen=True)
class SingleArgs(SceneArgs):
    """Write a dataset of exactly one object on a table, seen by a fixed camera.

    Example: air3d generate single data/single --num 2000 --seed 1.
    """

    kinds: tuple[str, ...] = PRIMITIVES
    """Kinds to draw from: air3d's by name; own ones by file (mesh, MJCF, URDF, TOML), by folder, or by name
    (--objects)."""

    def prior(self) -> PriorConfig:
        """The prior that scenes are drawn from."""
        return single_prior(self.kinds, self.perturbation)


Args = (
    Annotated[TabletopArgs, tyro.conf.subcommand("tabletop", prefix_name=False)]
    | Annotated[SingleArgs, tyro.conf.subcommand("single", prefix_name=False)]
)


def make_config(
    args: TabletopArgs | SingleArgs, backend: str, pictures: str = "", worn: tuple[str, ...] = ()
) -> GenerateConfig:
    """Resolve the config of a command.

    Args:
        backend: the chosen renderer.
        pictures: the fingerprint of the pictures for backdrops.
        worn: the names of the pictures that objects may wear.

    Raises:
        InputError: for a value that cannot be used.
    """
    return GenerateConfig(
        preset="tabletop" if isinstance(args, TabletopArgs) else "single",
        num=args.num,
        seed=args.seed,
        prior=replace(args.prior(), pictures=worn),
        size=args.image_size.plain,
        detail=args.detail,
        renderer=backend,
        min_visible=args.min_visible,
        scenes_per_shard=args.shard_size,
        backdrop=Backdrop(args.strengths.get("backdrop", 0.0), pictures),
        sensor=sensor(args.strengths),
    )


def run(args: TabletopArgs | SingleArgs) -> int:
    """Generate a dataset; return 0 on success.

    Raises:
        InputError: for settings or a folder that cannot be used.
    """
    part = args.check()
    args = replace(args, kinds=_kinds(args), objects=None)
    checked = make_config(args, "unchosen")  # bad settings are reported before a renderer is looked for
    folder = PictureFolder("", ())
    if args.pictures is not None:
        if not (checked.backdrop.strength or checked.prior.perturb.texture):
            raise InputError(f"--pictures {args.pictures}: nothing shows them; add --vary backdrop, or texture")
        folder = read_picture_folder(args.pictures, max(_PICTURES_PER_IMAGE * max(args.image_size), SIDE_PX))
    cut = folder if checked.backdrop.strength else PictureFolder("", ())
    worn = worn_pictures(folder) if checked.prior.perturb.texture else ()
    backend = choose_backend(args.detail, reference=True).backend if args.renderer == "auto" else args.renderer
    config = make_config(args, backend, cut.sha256, worn)
    renderer = partial(make_renderer, backend=backend, workers=1)
    recipe = SceneRecipe(config, renderer, packed(config.shown_kinds), cut.pictures)
    return build(args, config, recipe, part, partial(versions, air3d.__version__, backend), "scenes")


def _kinds(args: TabletopArgs | SingleArgs) -> tuple[str, ...]:
    """The full names of the kinds, with variants in the places of families where shapes vary."""
    kinds = resolve_kinds(args.kinds, args.objects, say)
    strength = args.strengths.get("shape", 0.0)
    if not strength:
        return kinds
    from air3d.scene3d.families.variants import with_variants

    return with_variants(kinds, args.variants, strength)


def choose_engine(name: EngineName, address: str | None, made_with: Callable[[], Mapping[str, str]]) -> Engine | None:
    """Return the engine that makes shards; None for processes of this machine. `made_with` describes its own machine.

    Raises:
        InputError: for the address of a cluster that is not asked for.
    """
    if name == "ray":
        address = address or os.environ.get("RAY_ADDRESS") or LOCAL
        return partial(make_shards_on_ray, address=address, made_with=made_with)
    if address is not None:
        raise InputError(f"--ray-address {address}: add --engine ray")
    return None


def build(
    args: BuildArgs,
    config: Sharding,
    recipe: Recipe,
    part: Part,
    made_with: Callable[[], Mapping[str, str]],
    what: str,
) -> int:
    """Make what is missing of a part, show progress, counted in `what`, and a summary; return 0."""
    engine = choose_engine(args.engine, args.ray_address, made_with)
    check_json_file(args.json)
    with Build(config, args.out, part) as work:
        started = time.perf_counter()
        with ProgressReport(what, work.plan.scenes, work.plan.kept, args.quiet) as progress:
            outcome = work.run(recipe, made_with(), args.workers, progress.advance, engine)
        seconds = time.perf_counter() - started
    done = {"made": outcome.made, "kept": outcome.kept, "missing_shards": outcome.missing, "seconds": seconds}
    write_json(args.json, {"folder": str(args.out), **done})
    if not args.quiet:
        rate = f" at {outcome.made / seconds:.0f} {what}/s" if outcome.made else ""
        say(f"{args.out}: {outcome.made} {what} made{rate}, {outcome.kept} were there already")
        if outcome.missing:
            say(f"{args.out}: {outcome.missing} of {config.shards} shards are still to be made by the other parts")
    return 0
