"""The guide q(z | x) of tabletop scenes: the camera first, then one object a step, until z_pres = 0.

    q(camera | x)  prod_i  q(z_pres_i | x, y_<i)  q(z_where_i | .)  q(z_what_i | z_where_i, .)  q(pose_i | z_what_i, .)

y_<i is what the earlier steps have left on the table. In the paper a recurrent state carries that; here, as in DAIR,
the network is shown it, by its `feedback`, which also says whether the camera is looked for once or twice. All steps
share one network: what is learned of the first object serves the third.

z_where is named in the image: a mixture of Gaussians over its cells, carried into the world through the sampled camera,
whose Jacobian enters the density. What of the pose is left then, a yaw, or a depth and a rotation, is named relative to
the camera (`pose_head`).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple, get_args

import torch
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize, Size
from air3d.distributions.cells import CellMixture
from air3d.distributions.circle import sample_categorical, spread
from air3d.distributions.interval import LogitNormal
from air3d.distributions.parts import each
from air3d.networks.encoder import mlp
from air3d.networks.precision import Precision, reduced
from air3d.renderers.protocol import Renderer
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.depth import COLOURS, deeper
from air3d.scenes.feedback import Feedback, FeedbackName, make_feedback
from air3d.scenes.guide import Guide
from air3d.scenes.kind_codes import make_kind_codes
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.networks import CELL, CameraEncoder, Looked, Trunk, Window, at_pixels
from air3d.scenes.pose_head import Turning, make_pose_head
from air3d.scenes.unroll import StepPosterior
from air3d.scenes.view import View
from air3d.scenes.viewpoint import ViewpointPosterior, first_answer, second_answer

if TYPE_CHECKING:
    from air3d.scenes.painter import Painter

_MIN_PIXELS = 0.02
# A place that no camera of the prior could mean is not proposed: cells this far off the support, metres.
_MARGIN_M = 0.05
# Planks differ by a tenth in brightness, objects by half: a gain lets the camera's first layers see planks, and
# differences that are larger than planks are cut, for they are objects.
_GAIN, _PLANKS = 4.0, 10.0


@dataclass(frozen=True)
class StepGuideConfig:
    """The sizes of the guide.

    Attributes:
        image_size: the side of the images that it reads, or (width, height), pixels.
        camera_widths: the channels of the encoder that the camera is read from.
        camera_code: the size of its output vector.
        widths: the channels of the trunk at a half, a quarter and an eighth of the resolution.
        head: the number of hidden units of each head.
        window: the side of the window that kind and pose are read from, pixels.
        window_widths: the channels of its encoder at a half, a quarter and so on of the resolution.
        glimpse: the size of the window's code.
        azimuth_components: the number of components of the mixture that the camera's azimuth follows.
        yaw_components: the number of components of the mixture that an object's yaw follows.
        feedback: the way in which a step learns of the earlier ones, "difference" or "marks".
        shrink: the factor by which camera and trunk see larger images smaller; windows stay sharp.
        kind_code: the size of the codes of kinds, which are computed from their pictures (`kind_code`), so that a
            trained guide can be taught further kinds; 0 for one number a kind, which means nothing to another guide.
        depth: whether it looks at depth, too, where a picture has some.
    """

    track: ClassVar[str] = "tabletop"

    image_size: Size = 64
    camera_widths: tuple[int, int, int] = (24, 48, 64)
    camera_code: int = 256
    widths: tuple[int, int, int] = (24, 48, 96)
    head: int = 128
    window: int = 24
    glimpse: int = 128
    azimuth_components: int = 8
    yaw_components: int = 16
    feedback: FeedbackName = "difference"
    shrink: int = 1
    window_widths: tuple[int, ...] = field(default=(24, 32), metadata=LATER)
    kind_code: int = field(default=0, metadata=LATER)
    depth: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        if not 1 <= self.shrink <= 8:
            raise InputError(f"guide: shrink is {shown(self.shrink)}; it must be 1 to 8")
        if not all(16 <= side <= 1024 and side % (CELL * self.shrink) == 0 for side in self.size):
            raise InputError(
                f"guide: image_size {shown(self.image_size)} must be 16 to 1024 and a multiple of {CELL * self.shrink}"
            )
        object.__setattr__(self, "image_size", self.size.plain)
        for name in ("widths", "camera_widths"):
            if not all(1 <= width <= 1024 for width in getattr(self, name)):
                raise InputError(f"guide: {name} is {shown(getattr(self, name))}; use 3 numbers from 1 to 1024")
        if not 1 <= len(self.window_widths) <= 5 or not all(1 <= width <= 1024 for width in self.window_widths):
            raise InputError(f"guide: window_widths is {shown(self.window_widths)}; use 1 to 5 numbers from 1 to 1024")
        if not 0 <= self.kind_code <= 1024:
            raise InputError(f"guide: kind_code is {self.kind_code}; it must be 0 to 1024")
        for name in ("camera_code", "head", "window", "glimpse", "azimuth_components", "yaw_components"):
            if not 1 <= getattr(self, name) <= 8192:
                raise InputError(f"guide: {name} is {getattr(self, name)}; it must be 1 to 8192")
        if self.feedback not in get_args(FeedbackName):
            raise InputError(f"guide: feedback is {shown(self.feedback)}; use 'difference' or 'marks'")

    @property
    def size(self) -> ImageSize:
        """The size of the images that it reads."""
        return ImageSize.of(self.image_size)

    def build(self, world: World) -> StepGuide:
        """Build the guide for a world under an unknown camera.

        Raises:
            InputError: if `free_world` refuses its prior.
        """
        return StepGuide(self, free_world(world.prior))


def _feedback(config: StepGuideConfig, world: World) -> Feedback:
    return make_feedback(config.feedback, world, config.size, config.depth)


def free_world(prior: PriorConfig) -> World:
    """Make the world of a prior under which the camera's azimuth is unknown.

    Raises:
        InputError: if the azimuth is known.
    """
    world = World(prior)
    if world.azimuth_known:
        raise InputError("tabletop inference needs a camera whose azimuth spans the full turn, (-pi, pi)")
    return world


class Step(NamedTuple):
    """The guide's look before it names the next object, at B images and the objects already on their tables.

    Attributes:
        presence: (B,), the logit of "there is another object".
        looked: the features.
        pictures: (B, C, S, S), image and feedback, for windows.
        drawn: (B, 3, S, S), the picture of the objects on the tables, where the guide was shown it.
    """

    presence: Tensor
    looked: Looked
    pictures: Tensor
    drawn: Tensor | None = None

    def take(self, index: Tensor) -> Step:
        """Keep the images selected."""
        looked = Looked(self.looked.maps[index], self.looked.whole[index])
        return Step(self.presence[index], looked, self.pictures[index])


class StepGuide(Guide):
    """The guide of scenes of any number of objects.

    Args:
        config: the sizes.
        world: all that is known beforehand.

    Its buffer `mean_image` (3, S, S), the mean of the training images, is subtracted from every image: set it once.
    """

    config: StepGuideConfig
    precision: Precision = "float32"  # of trunk and windows

    def __init__(self, config: StepGuideConfig, world: World) -> None:
        super().__init__()
        self.config, self.world = config, world
        self.kinds = len(world.prior.kinds)
        self.depth, self.feedback = config.depth, _feedback(config, world)
        sees = COLOURS + 2 * self.depth
        channels, appearance = sees + self.feedback.channels, len(world.appearance)
        numbers = 3 * config.azimuth_components + 2 * len(world.shared)
        width_px, height_px = config.size
        small = ImageSize(width_px // config.shrink, height_px // config.shrink)
        self.cell = CELL * config.shrink
        self.camera_encoder = CameraEncoder(sees, small, config.camera_widths, config.camera_code)
        self.camera_head = mlp(config.camera_code, config.head, numbers)
        self.second_encoder: CameraEncoder | None = None
        if self.feedback.second_look:
            self.second_encoder = CameraEncoder(9 + 3 * self.depth, small, config.camera_widths, config.camera_code)
            self.second_head = mlp(config.camera_code, config.head, numbers)
        self.trunk = Trunk(channels, config.widths, config.shrink)
        width, whole = config.widths[1], 2 * config.widths[1] + config.widths[2]
        self.place_head = nn.Conv2d(width, 5, 1)
        self.presence_head = mlp(whole, config.head, 1)
        self.window = Window(channels, config.window, config.window_widths, config.glimpse)
        seen = config.glimpse + width + 3
        self.kind_codes = make_kind_codes(world.prior.kinds, config.kind_code)
        named = seen + self.kind_codes.size
        self.kind_head = mlp(seen, config.head, self.kind_codes.size)
        self.pose_head = make_pose_head(world, named, config.head, config.yaw_components)
        # Called as in the weights that are shipped.
        self.looks_head = mlp(named, config.head, 2 * appearance) if appearance else None
        nn.init.normal_(self.place_head.weight, std=0.01)
        self.place_head.bias.data.zero_()  # type: ignore[union-attr]
        across, down = (self.cell * torch.arange(side // self.cell) + (self.cell - 1) / 2.0 for side in config.size)
        rows, columns = torch.meshgrid(down, across, indexing="ij")
        self.mean_image: Tensor
        self.register_buffer("mean_image", torch.zeros(3, height_px, width_px))
        self.cells: Tensor
        self.azimuth_start: Tensor
        self.turns: Tensor
        self.register_buffer("cells", torch.stack([columns, rows], -1).reshape(-1, 2), persistent=False)
        self.register_buffer("azimuth_start", spread(config.azimuth_components), persistent=False)
        self.register_buffer("turns", world.turns(), persistent=False)

    def within(self, world: World) -> StepGuide:
        """See another world, of the same kinds and properties, with the same weights."""
        guide = copy(self)
        guide.world, guide.feedback = world, _feedback(self.config, world)
        return guide

    def computing_in(self, precision: Precision) -> StepGuide:
        """Return the guide, with the same weights, whose trunk and windows compute in this precision."""
        guide = copy(self)
        guide.precision = precision
        return guide

    def colour_channels(self) -> dict[str, list[int]]:
        """Say for each layer that reads pictures, by the name of its weights, which of the channels of the same guide
        with depth are this one's, of colours alone: the picture's, then depth and whether it is known, then those of
        the feedback, or of the empty table and of the change from it, and how much deeper it is."""
        beside = [0, 1, 2, *range(5, 5 + self.feedback.channels)]
        names = {"camera_encoder.convolutions.0.weight": [0, 1, 2], "trunk.down.0.weight": beside}
        names["window.layers.0.weight"] = beside
        if self.second_encoder is not None:
            names["second_encoder.convolutions.0.weight"] = [0, 1, 2, *range(5, 11)]
        return names

    def meet(self, renderer: Renderer) -> None:
        """Look at the kinds' pictures, where their codes are computed from these."""
        self.kind_codes.meet(renderer)

    @property
    def renders(self) -> int:
        """Those of its feedback."""
        return self.feedback.most_renders(self.world.prior.max_objects)

    def look(self, images: Tensor, painter: Painter) -> StepPosterior:
        """Look at images (B, 3, S, S) in [0, 1]: for the camera at once, for each object when it is asked for."""
        return StepPosterior(self, painter, images)

    def cameras(self, images: Tensor, painter: Painter) -> tuple[ViewpointPosterior, ...]:
        """Look for the camera of images (B, 3, S, S) as often as the feedback has it; the last look is the answer."""
        return self.feedback.cameras(self, images, painter)

    def view(self, viewpoint: Viewpoint) -> View:
        """The cameras of viewpoints."""
        return self.world.view(viewpoint, self.config.size)

    def first_look(self, images: Tensor) -> ViewpointPosterior:
        """Infer q(camera, light | x) from images (B, 3, S, S) in [0, 1] alone."""
        code = self.camera_encoder(self._small(self._seen(images, _GAIN)))
        return first_answer(self.camera_head(code), self.azimuth_start)

    def second_look(self, images: Tensor, empty: Tensor, first: Viewpoint) -> ViewpointPosterior:
        """Infer q(camera, light | x) beside the empty table as seen from the viewpoint of the first look.

        Args:
            images, empty: (B, 3, S, S) in [0, 1].
        """
        assert self.second_encoder is not None
        image = self._small(self._seen(images, _GAIN))
        table = self._small(_GAIN * (empty[:, :COLOURS] - self.mean_image))
        change = torch.tanh(_PLANKS / _GAIN * (image[:, :COLOURS] - table))
        parts = [image, table, change]
        if self.depth:
            parts.append(torch.tanh(-_PLANKS * self._small(deeper(empty, images)[0])))
        pictures = torch.cat(parts, dim=1)
        return second_answer(self.second_head(self.second_encoder(pictures)), self.azimuth_start, first)

    def _seen(self, images: Tensor, gain: float = 1.0) -> Tensor:
        """Centre pictures (B, C, H, W) about 0: the colours, amplified by `gain`, and the depth, where it is known."""
        centred = gain * (images[:, :COLOURS] - self.mean_image)
        if not self.depth:
            return centred
        near, far = self.world.camera.distance_m
        depth, known = images[:, 3:4], images[:, 4:5]
        share = (4.0 * depth / (near + far) - 2.0).clamp(-1.0, 1.0)
        return torch.cat([centred, share * known, known], dim=1)

    def _small(self, pictures: Tensor) -> Tensor:
        shrink = self.config.shrink
        if shrink == 2:  # the same means, faster
            return nn.functional.interpolate(pictures, scale_factor=0.5, mode="bilinear")
        return pictures if shrink == 1 else nn.functional.avg_pool2d(pictures, shrink)

    def step(self, images: Tensor, painter: Painter, scene: SceneLatents, drawn: Tensor | None = None) -> Step:
        """Look at images (B, 3, S, S) of which a scene, (B,) and (B, N), is explained.

        Args:
            drawn: (B, 3, S, S), the picture of that scene, where it has been drawn already.
        """
        shown = self.feedback.show(images, painter, scene, drawn)
        return self.glance(images, shown.channels)._replace(drawn=shown.drawn)

    def glance(self, images: Tensor, feedback: Tensor) -> Step:
        """Look at images (B, 3, S, S) and at what the feedback (B, C, S, S) shows of their explained part."""
        pictures = torch.cat([self._seen(images), feedback], dim=1)
        with reduced(self.precision, pictures.device):
            looked = self.trunk(pictures)
        return Step(self.presence_head(looked.whole)[:, 0], looked, pictures)

    def place(self, step: Step, view: View) -> CellMixture:
        """q(z_where | .) in the image, for cameras (B,)."""
        b = len(step.presence)
        out = self.place_head(step.looked.maps).reshape(b, 5, -1).transpose(1, 2)
        wide = view.each()
        off = self.world.poses.region.beyond(wide.unproject(self.cells.expand(b, -1, 2)))
        logits = out[..., 0].masked_fill(off > _MARGIN_M, -30.0)
        loc = self.cells + self.cell * out[..., 1:3]
        scale = _MIN_PIXELS + (0.8 * self.cell - _MIN_PIXELS) * torch.sigmoid(out[..., 3:] + 3.0)
        return CellMixture(logits, loc, scale)

    def seen(self, step: Step, pixel: Tensor, viewpoint: Viewpoint) -> Tensor:
        """The features (B, K, ...) at (B, K, 2) pixels under viewpoints (B,), for the heads below."""
        size = self.config.size
        elevation = self.world.shared_value(viewpoint, "camera_elevation_rad")
        where = torch.cat(
            [pixel / pixel.new_tensor(size) - 0.5, elevation[:, None, None].expand(*pixel.shape[:2], 1)], dim=-1
        )
        with reduced(self.precision, pixel.device):
            window = self.window(step.pictures, pixel)
        return torch.cat([window, at_pixels(step.looked.maps, pixel, size), where], dim=-1)

    def kind_logits(self, seen: Tensor) -> Tensor:
        """The logits of the kinds, (..., kinds)."""
        return self.kind_codes.logits(self.kind_head(seen))

    def named(self, seen: Tensor, kind: Tensor) -> Tensor:
        """The features of objects of kinds (...), for the heads that come after the kind's."""
        return torch.cat([seen, self.kind_codes(kind)], -1)

    def turning(self, step: Step, viewpoint: Viewpoint, objects: Objects) -> Turning:
        """Say how objects (B, 1) may be turned on their spots; meant for kinds that show it."""
        view = self.view(viewpoint).each()
        pixel = self.world.poses.pixel(view, objects)
        named = self.named(self.seen(step, pixel, viewpoint), objects.kind)
        return self.pose_head.turning(view, named, objects, pixel)

    def appearance(self, seen: Tensor, kind: Tensor) -> LogitNormal | None:
        """q(size, colour | z_what, .), (..., L); None where nothing is perturbed."""
        if self.looks_head is None:
            return None
        loc, raw = self.looks_head(self.named(seen, kind)).chunk(2, -1)
        return LogitNormal(loc, 0.02 + 1.68 * torch.sigmoid(raw + 3.0))

    def draw(self, step: Step, viewpoint: Viewpoint, samples: int, generator: torch.Generator) -> Objects:
        """Draw K samples of the next object for each image: (B, K), without gradient."""
        with torch.no_grad():
            view = self.view(viewpoint)
            pixel = self.place(step, view).sample(samples, generator)
            return self._objects(step, viewpoint, pixel, generator)

    def most_probable(self, step: Step, viewpoint: Viewpoint) -> Objects:
        """The most probable place, then the kind there, then its pose: (B,)."""
        with torch.no_grad():
            pixel = self.place(step, self.view(viewpoint)).mode()[:, None]
            return each(self._objects(step, viewpoint, pixel, None), lambda part: part[:, 0])

    def log_prob(self, step: Step, viewpoint: Viewpoint, objects: Objects) -> Tensor:
        """log q of the next object, for candidates (B, K): (B, K), in the prior's units, differentiable."""
        return torch.stack(self.log_prob_parts(step, viewpoint, objects)).sum(0)

    def log_prob_parts(
        self, step: Step, viewpoint: Viewpoint, objects: Objects, beside_px: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute log q of z_where and the axis, of z_what, of the turn about the axis, and of the appearance, each
        (B, K).

        Args:
            beside_px: (B, K, 2), how far beside their pixels the features of objects are read; for training, see
                `Slips.pixel`.
        """
        view = self.view(viewpoint)
        wide = view.each()
        pixel = self.world.poses.pixel(wide, objects)
        seen = self.seen(step, pixel if beside_px is None else pixel + beside_px, viewpoint)
        what = torch.log_softmax(self.kind_logits(seen), -1).gather(-1, objects.kind[..., None])[..., 0]
        along, turn = self.pose_head.log_prob(wide, self.named(seen, objects.kind), objects, pixel)
        where = self.place(step, view).log_prob(pixel) + along
        posterior = self.appearance(seen, objects.kind)
        appearance = torch.zeros_like(turn) if posterior is None else posterior.log_prob(objects.appearance).sum(-1)
        return where, what, turn, appearance

    def _objects(self, step: Step, viewpoint: Viewpoint, pixel: Tensor, generator: torch.Generator | None) -> Objects:
        """Name the objects at (B, K, 2) pixels: sampled, or without a generator the most probable."""
        seen = self.seen(step, pixel, viewpoint)
        logits = self.kind_logits(seen)
        kind = logits.argmax(-1) if generator is None else sample_categorical(logits, generator)
        pose = self.pose_head.name(self.view(viewpoint).each(), self.named(seen, kind), kind, pixel, generator)
        appearance, open_part = seen[..., :0], self.appearance(seen, kind)
        if open_part is not None:
            appearance = open_part.mode() if generator is None else open_part.sample(generator)
        return Objects(kind, *pose, appearance)
