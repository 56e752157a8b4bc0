"""The fused copy gives the plain network's numbers, for every preset and switch."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from occhand.models.fuse import SmoothPool, quicken_training
from occhand.models.presets import PRESETS
from occhand.types import ModelInput
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import compare
from tests.models.conftest import small, small_inputs
from tests.models.test_golden import FOLDER
from tests.models.test_switches import SWITCHES, filled

GOLDEN_NAMES = {
    "mano_pose_rotmat": "rotations",
    "mano_pose_aa": "pose",
    "mano_shape": "betas",
    "joints_img": "joints_crop",
    "joints_cam": "joints",
    "verts_cam": "vertices",
    "manojoints2cam": "transforms",
}


def double(inputs):
    return ModelInput(*(values.double() for values in inputs))


@torch.no_grad()
def assert_same_algebra(plain, inputs):
    """In float64, where rounding is no excuse, every output agrees; also for a batch of one."""
    plain = copy.deepcopy(plain).double()
    fused = plain.fuse()
    for some in (inputs, ModelInput(*(values[:1] for values in inputs))):
        expected, mine = plain(double(some)), fused(double(some))
        for name, a, b in zip(expected._fields, expected, mine, strict=True):
            assert (a is None and b is None) or (a - b).abs().max() <= 1e-10 * a.abs().max(), name


def lived_in(model):
    """Batch norms as after some training: their statistics and weights are no longer 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.3, 0.3),
            ):
                values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)
    model.regressor.heatmap_head.sharpness.data.uniform_(0.5, 2, generator=generator)
    return model


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_keeps_its_numbers(name, open_hand):
    config = small(PRESETS[name].config)
    plain, inputs = lived_in(filled(config, open_hand)), small_inputs(config)
    assert_same_algebra(plain, inputs)
    with torch.no_grad():
        expected, mine = plain(inputs), plain.fuse()(inputs)
    for a, b in ((expected.vertices, mine.vertices), (expected.joints, mine.joints)):
        assert (a - b).abs().max() <= 1e-5 * a.abs().max()


@pytest.mark.parametrize(("base", "switch"), SWITCHES, ids=[str(switch) for _, switch in SWITCHES])
def test_every_switch_keeps_the_algebra(base, switch, open_hand):
    config = replace(base, **switch)
    assert_same_algebra(lived_in(filled(config, open_hand)), small_inputs(config))


def test_the_original_is_left_as_it_was(open_hand):
    config = small(PRESETS["handgcat"].config)
    plain = lived_in(filled(config, open_hand))
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    fused = plain.fuse()
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())
    assert fused.hand is plain.hand
    assert not any(isinstance(module, nn.BatchNorm1d) for module in fused.modules())
    with pytest.raises(ValueError, match="Only a plain"):
        fused.fuse()


@pytest.mark.parametrize("name", ["handoccnet", "handgcat"])
def test_quickened_training_has_the_same_gradients_and_weights(name, open_hand):
    config = small(PRESETS[name].config)
    plain = copy.deepcopy(lived_in(filled(config, open_hand))).double().train()  # other tests share the hand
    quick = quicken_training(copy.deepcopy(plain, {id(plain.hand): plain.hand}))
    inputs = double(small_inputs(config, 4))
    for model in (plain, quick):
        output = model(inputs)
        (output.vertices.square().sum() + output.joints_crop.square().sum()).backward()
    mine = dict(quick.named_parameters())
    # Some gradients are zero but for rounding, as of a bias before a batch norm: they are held against the largest.
    largest = max(parameter.grad.abs().max() for parameter in plain.parameters())
    for key, parameter in plain.named_parameters():
        assert (parameter.grad - mine[key].grad).abs().max() <= 1e-11 * largest, key
    plain.load_state_dict(quick.state_dict())
    assert_same_algebra(quick.eval(), small_inputs(config))


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 2, 4])
def test_pooling_before_the_convolution_is_pooling_after_it(window):
    torch.manual_seed(0)
    smooth = nn.Conv2d(3, 5, 3, padding=1)
    x = torch.randn(2, 3, 8, 12)
    torch.testing.assert_close(SmoothPool(smooth, window)(x), nn.functional.avg_pool2d(smooth(x), window))


@pytest.mark.slow
@pytest.mark.parametrize("net", golden_recipe.NETS)
def test_golden_numbers_through_the_fused_copy(net, released, golden_inputs):
    golden = dict(np.load(f"{FOLDER}/{net}.npz"))
    inputs = golden_inputs(2)
    with torch.no_grad():
        expected, output = released[net](inputs), released[net].fuse()(inputs)
    mine = {f"eval/{theirs}": getattr(output, ours).numpy() for theirs, ours in GOLDEN_NAMES.items()}
    assert compare({name: values for name, values in golden.items() if name.startswith("eval/")}, mine) == 0
    for a, b in ((expected.vertices, output.vertices), (expected.joints, output.joints)):
        assert (a - b).abs().max() <= 1e-5 * a.abs().max()
