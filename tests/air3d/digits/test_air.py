"""AIR's guide against a plain reading of it, step by step with torch's own LSTM; DAIR's steps are all alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import relu, softplus

from air3d.digits.latents import AirConfig, draw_noise, prior_where
from air3d.digits.store import make_model
from air3d.digits.windows import read, write
from air3d.scene3d.errors import InputError
from tests.air3d.digits.conftest import shaken


def plain_air(model, images, noise):
    """The guide written naively: everything is fed to torch.nn.LSTMCell in every step, decoded and drawn at once."""
    config = model.config
    seen, to_gates = images.flatten(1), model.image_to_gates
    if config.look_channels:
        look, _, to_gates = model.image_to_gates
        seen = relu(look[-1](relu(look[2](relu(look[0](images[:, None])))).flatten(1)))
    pixels, latents = seen.shape[1], 3 + config.what
    cell = torch.nn.LSTMCell(pixels + latents, config.hidden)
    with torch.no_grad():
        cell.weight_ih[:, :pixels] = to_gates.weight
        cell.weight_ih[:, pixels:] = model.step_to_gates.weight[:, :latents]
        cell.weight_hh.copy_(model.step_to_gates.weight[:, latents:])
        cell.bias_ih.copy_(to_gates.bias)
        cell.bias_hh.zero_()
    state = (torch.zeros(len(images), config.hidden), torch.zeros(len(images), config.hidden))
    z_where, z_what = torch.zeros(len(images), 3), torch.zeros(len(images), config.what)
    steps = []
    for i in range(config.steps):
        state = cell(torch.cat([seen, z_where, z_what], 1), state)
        out = model.head.out(relu(model.head.hidden(state[0])))
        prior = prior_where(config, images)
        loc = prior.loc + prior.scale * out[:, 1:4]
        scale = prior.scale * softplus(out[:, 4:] + torch.tensor(torch.e - 1).log())
        z_where = loc + scale * noise[:, i, :3]
        code = model.encoder(read(images, z_where, config.window))
        z_what = code.loc + code.scale * noise[:, i, 3:]
        steps.append((out[:, 0], loc, scale, z_what, write(model.decoder(z_what), z_where, config.canvas)))
    return [torch.stack(parts, 1) for parts in zip(*steps, strict=True)]


@pytest.mark.parametrize("channels", [(), (3, 4)])
def test_computing_the_images_share_once_changes_nothing(small, images, channels):
    air = shaken(make_model("air", replace(small, look_channels=channels), seed=0))
    noise = draw_noise(small, 7, torch.Generator().manual_seed(1))
    trace = air(images, noise)
    presence, loc, scale, z_what, objects = plain_air(air, images, noise)
    for found, wanted in (
        (trace.presence, presence),
        (trace.q_where.loc, loc),
        (trace.q_where.scale, scale),
        (trace.z_what, z_what),
        (trace.objects, objects),
    ):
        assert torch.allclose(found, wanted, atol=1e-5)
    assert trace.presence.std() > 0.05, "the comparison says something"


def test_an_untrained_guide_looks_where_the_prior_does_and_draws_little(images, small):
    config = replace(small, decoder_bias=-5.0)
    model = make_model("air", config, seed=3)
    with torch.no_grad():
        model.head.out.weight.zero_()
        model.head.out.bias.zero_()
    trace = model(images, torch.zeros(7, 3, 7))
    prior = prior_where(config, images)
    assert torch.allclose(trace.q_where.kl(prior), torch.zeros(7, 3), atol=1e-6)
    assert trace.objects.max() < 0.05


def test_noise_is_standard_normal_and_seeded(small):
    noise = draw_noise(small, 5, torch.Generator().manual_seed(0))
    assert noise.shape == (5, 3, 3 + small.what)
    assert torch.equal(noise, draw_noise(small, 5, torch.Generator().manual_seed(0)))


def test_a_shrunk_view_is_the_mean_of_blocks(images, small):
    model = make_model("air", replace(small, shrink=2), seed=0)
    blocks = images.reshape(7, 6, 2, 6, 2).mean(dim=(2, 4)).flatten(1)
    seen = []
    model.image_to_gates.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(images, torch.zeros(7, 3, 7))
    assert torch.allclose(seen[0], blocks, atol=1e-6)
    with pytest.raises(InputError, match="canvas 12 is not a multiple of shrink 5"):
        replace(small, shrink=5)


def test_dair_goes_on_with_what_is_left(dair, small, images):
    """Step i + 1 of an image is step i of the image without its i-th object: nothing else is remembered."""
    noise = draw_noise(small, 7, torch.Generator().manual_seed(2))
    trace = dair(images, noise)
    later = dair(images - trace.objects[:, 0], noise[:, [1, 2, 0]])
    assert torch.allclose(later.presence[:, :2], trace.presence[:, 1:], atol=1e-5)
    assert torch.allclose(later.z_where[:, :2], trace.z_where[:, 1:], atol=1e-5)
    assert torch.allclose(later.objects[:, :2], trace.objects[:, 1:], atol=1e-5)
    assert not torch.allclose(trace.presence[:, 1], trace.presence[:, 0])


@pytest.mark.parametrize(
    "change",
    [
        {"canvas": 4},
        {"steps": 0},
        {"what": 0},
        {"sigma": 0.0},
        {"scale": -1.0},
        {"scale_spread": 0.0},
        {"glimpse_channels": (16, 0)},
        {"look_channels": (0,)},
    ],
)
def test_bad_sizes_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        AirConfig(**change)
