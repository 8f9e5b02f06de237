"""Pictures that stay on the device, and recorded launches: the same pixels as `render`, whatever came before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_warp
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.compiler import light_directions
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior

pytest.importorskip("mujoco_warp")

import warp as wp

from air3d.renderers.warp import WarpRenderer
from air3d.renderers.warp_device import pick_device
from air3d.renderers.warp_graphs import LaunchGraphs
from air3d.renderers.warp_worlds import WarpWorlds

KINDS = tuple(CATALOG)
CONFIG = RenderConfig(KINDS, max_objects=3, height=32, width=48)

needs_cuda = pytest.mark.skipif(
    not (torch.cuda.is_available() and any(d.startswith("cuda") for d in probe_warp().devices)), reason="no CUDA here"
)
DEVICES = ["cpu", pytest.param("cuda:0", marks=[pytest.mark.gpu, needs_cuda])]


@pytest.fixture(scope="module", params=DEVICES)
def renderer(request: pytest.FixtureRequest) -> Iterator[WarpRenderer]:
    with WarpRenderer(CONFIG, request.param, worlds=8) as made:
        yield made


def random_scenes(seed: int, count: int) -> SceneBatch:
    strong = Perturbation(scale=0.4, colour=0.3, light_angle_rad=0.5, light_level=0.5)
    prior = PriorConfig(kinds=KINDS, min_objects=1, perturb=strong)
    return ScenePrior(prior).sample_batch(np.random.default_rng(seed), count)


def test_the_tensor_holds_what_render_returns(renderer: WarpRenderer) -> None:
    scenes = random_scenes(0, 5)
    got = renderer.render_torch(scenes)
    assert isinstance(got, torch.Tensor) and got.dtype == torch.uint8
    assert got.shape == (5, CONFIG.height, CONFIG.width, 3) and got.is_contiguous()
    assert got.device == torch.device(renderer.device)
    assert np.array_equal(got.cpu().numpy(), renderer.render(scenes))
    assert renderer.render_torch(scenes[:0]).shape == (0, CONFIG.height, CONFIG.width, 3)


def test_the_next_call_writes_into_the_same_memory(renderer: WarpRenderer) -> None:
    scenes = random_scenes(1, 8)
    first = renderer.render_torch(scenes[:4])
    kept = first.clone()
    second = renderer.render_torch(scenes[4:])
    assert first.data_ptr() == second.data_ptr()
    assert torch.equal(first, second) and not torch.equal(first, kept)


def test_nothing_else_writes_into_it() -> None:
    scenes = random_scenes(2, 12)
    with WarpRenderer(CONFIG, worlds=4) as made:
        tensor = made.render_torch(scenes[:4])
        kept = tensor.clone()
        made.render(scenes[4:8])
        made.render_frames(scenes[4:8])
        made.render_segmentation(scenes[4:8])
        assert torch.equal(tensor, kept)
        made.render_torch(scenes)
        assert torch.equal(tensor, kept), "a larger batch gets new memory"
    assert torch.equal(tensor, kept), "a closed renderer leaves the tensor alone"


def test_a_batch_may_be_larger_than_the_worlds(renderer: WarpRenderer) -> None:
    scenes = random_scenes(3, 19)
    assert np.array_equal(renderer.render_torch(scenes).cpu().numpy(), renderer.render(scenes))


def test_display_detail_is_averaged_on_the_device_too() -> None:
    scenes = random_scenes(4, 2)
    config = RenderConfig(KINDS, max_objects=3, height=16, width=24, detail="display")
    with WarpRenderer(config, "cpu", worlds=2) as made:
        got, rays = made.render_torch(scenes).numpy(), made._worlds._context.rgb_data.numpy()
    # 0xAARRGGBB, three rays by three for a pixel
    parts = (rays[..., None] >> np.array([16, 8, 0])) & 255
    mean = parts.reshape(2, 16, 3, 24, 3, 3).mean(axis=(2, 4))
    assert np.abs(got - mean).max() <= 0.5


def test_a_closed_renderer_says_so_for_tensors() -> None:
    made = WarpRenderer(CONFIG, worlds=1)
    made.close()
    with pytest.raises(RuntimeError, match="closed"):
        made.render_torch(random_scenes(5, 1))


def test_no_worlds_are_refused() -> None:
    with pytest.raises(InputError, match="worlds is 0; use 1 or more"):
        WarpRenderer(CONFIG, worlds=0)


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_places_what_the_compiler_places(device: str) -> None:
    scenes = random_scenes(6, 6)
    worlds = WarpWorlds(CONFIG, pick_device(device), 6)
    worlds.load(scenes)
    worlds.draw()
    data, model = worlds._data, worlds._model
    frames, camera = worlds.compiled.geom_frames(scenes), scenes.cameras(CONFIG.width, CONFIG.height)
    row, slot = np.nonzero(scenes.present)
    geom = worlds._slots[slot]  # the prior fills the first slots
    xmat, scale = worlds._bounds_xmat.numpy()[row, geom], scenes.scale[row, slot][:, None, None]
    for got, want in (
        (data.geom_xpos.numpy()[row, geom], frames.position_m[row, slot]),
        (xmat, frames.matrix[row, slot]),
        (worlds._ray_xmat.numpy()[row, geom] * scale**2, frames.matrix[row, slot]),
        (data.cam_xpos.numpy()[:, 0], camera.frame[:, :3, 3]),
        (data.cam_xmat.numpy()[:, 0], camera.frame[:, :3, :3]),
        (model.cam_intrinsic.numpy()[:, 0, :2], np.transpose(camera.focal_px)),
        (data.light_xdir.numpy()[:, 0], light_directions(scenes)),
        (model.light_diffuse.numpy()[:, 0, 2], scenes.light_diffuse),
        (model.light_ambient.numpy()[:, 0, 1], scenes.light_ambient),
    ):
        assert got.shape == want.shape
        assert np.allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_recorded_launches_draw_the_same(device: str) -> None:
    scenes = random_scenes(7, 16)
    with WarpRenderer(CONFIG, device, worlds=4) as plain, WarpRenderer(CONFIG, device, worlds=4) as recording:
        plain._worlds.graphs.recording = False
        graphs = recording._worlds.graphs
        assert graphs.recording == (device != "cpu"), "a graph saves nothing on a CPU"
        graphs.recording = True
        for batch in (scenes[8:11], scenes[3:6], scenes[:4], scenes[4:8], scenes[12:], scenes):
            assert np.array_equal(recording.render_torch(batch).cpu(), plain.render(batch))
            for got, want in zip(recording.render_frames(batch), plain.render_frames(batch), strict=True):
                assert np.array_equal(got, want)
            assert np.array_equal(recording.render_segmentation(batch), plain.render_segmentation(batch))
        assert graphs.recording and graphs.replays >= 18
        assert plain._worlds.graphs.replays == 0


@pytest.mark.parametrize("device", DEVICES)
def test_a_sequence_is_launched_once_recorded_once_then_replayed(device: str) -> None:
    on = pick_device(device)
    source, target = wp.zeros(3, dtype=int, device=on), wp.zeros(3, dtype=int, device=on)
    graphs, calls = LaunchGraphs(on, record=True), []

    def launch() -> None:
        calls.append(None)
        wp.copy(target, source)

    for value in range(5):
        source.fill_(value)
        with wp.ScopedDevice(on):
            graphs.run("copy", launch)
        assert target.numpy().tolist() == [value] * 3
    assert (len(calls), graphs.replays) == (2, 4)


@pytest.mark.parametrize("device", DEVICES)
def test_where_recording_fails_everything_is_launched(device: str) -> None:
    on = pick_device(device)
    target = wp.zeros(3, dtype=int, device=on)
    graphs, calls = LaunchGraphs(on, record=True), []

    def launch() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise RuntimeError("the capture is invalid")
        target.fill_(len(calls))

    with wp.ScopedDevice(on):
        for _ in range(4):
            graphs.run("fill", launch)
    assert target.numpy().tolist() == [5] * 3
    assert not graphs.recording and graphs.replays == 0


def test_ever_new_sizes_do_not_pile_up() -> None:
    graphs, calls = LaunchGraphs(pick_device("cpu"), record=True), []
    for key in range(1000):
        graphs.run(key, lambda: calls.append(None))
    assert len(calls) == 1000 and len(graphs._graphs) < 100


@pytest.mark.gpu
@needs_cuda
def test_the_gpu_is_taken_where_there_is_one() -> None:
    """So the contract suite, which asks for `warp` by name, runs there on CUDA."""
    with make_renderer(CONFIG, "warp") as made:
        assert isinstance(made, WarpRenderer) and made.device == "cuda:0"


@pytest.mark.gpu
@needs_cuda
def test_cuda_draws_what_the_cpu_draws() -> None:
    scenes = random_scenes(8, 64)
    with WarpRenderer(CONFIG, "cpu", worlds=64) as cpu, WarpRenderer(CONFIG, "cuda:0", worlds=64) as cuda:
        want, got = cpu.render_frames(scenes), cuda.render_frames(scenes)
    assert (np.abs(want.rgb.astype(int) - got.rgb) > 8).any(axis=-1).mean() <= 1e-3
    assert (want.segmentation != got.segmentation).mean() <= 3e-4
    seen = np.isfinite(want.depth_m) & np.isfinite(got.depth_m)
    assert (np.isfinite(want.depth_m) != np.isfinite(got.depth_m)).mean() <= 3e-4
    assert (np.abs(want.depth_m[seen] - got.depth_m[seen]) > 1e-4).mean() <= 3e-4


@pytest.mark.gpu
@needs_cuda
def test_torch_reads_before_the_next_batch_overwrites() -> None:
    """On a stream of torch's own, nothing but the renderer's waiting keeps reading and drawing apart."""
    scenes = random_scenes(9, 256)
    halves = scenes[:128], scenes[128:]
    side = torch.cuda.Stream()
    with WarpRenderer(CONFIG, "cuda:0", worlds=128) as made:
        want = [torch.from_numpy(made.render(half)).cuda() for half in halves]
        torch.cuda.synchronize()
        seen = []
        with torch.cuda.stream(side):
            for i in range(20):
                pictures = made.render_torch(halves[i % 2])
                torch.cuda._sleep(2_000_000)  # cycles: about a millisecond in which nothing may change
                seen.append(pictures.clone())
        torch.cuda.synchronize()
    assert all(torch.equal(got, want[i % 2]) for i, got in enumerate(seen))
