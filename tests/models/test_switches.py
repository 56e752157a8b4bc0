"""Each switch of the configs changes the output, and does what it says."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand.models.attention import split_heads
from occhand.models.backbone import Trunk
from occhand.models.config import HandGCATConfig, HandOccNetConfig
from occhand.models.graph import chebyshev, hand_adjacency, laplacian
from occhand.models.handgcat import KGC, CATBlock
from occhand.models.handoccnet import Gate, Replacement
from occhand.models.hourglass import Heatmaps
from occhand.models.joint_heads import SightHead
from occhand.models.mano_head import ManoHead
from occhand.models.presets import build_model
from occhand.types import ModelInput
from tests.models.conftest import small, small_inputs

OCC, GCAT = small(HandOccNetConfig()), small(HandGCATConfig())
GRAPH = replace(GCAT, kgc_order=2)  # the release ignores its graph
SWITCHES = [
    (OCC, {"input_size": 128}),
    (OCC, {"trunk_activation": "relu"}),
    (OCC, {"image_normalisation": "imagenet"}),
    (OCC, {"encoder_input": "concat_features_heatmaps"}),
    (OCC, {"encoder_blocks_per_level": 1}),
    (OCC, {"pose_output": "axis_angle"}),
    (OCC, {"flat_hand_mean": True}),
    (OCC, {"joints_from": "regressor"}),
    (OCC, {"pyramid_finest": "c3"}),
    (replace(OCC, flat_hand_mean=True), {"lifter": "feedback"}),
    (OCC, {"joint_heads": True}),
    (OCC, {"necessity": "three_conv"}),
    (OCC, {"heads": 1}),
    (OCC, {"embedding": "none"}),
    (OCC, {"embedding": "after_projection"}),
    (OCC, {"mlp_activation": "none"}),
    (OCC, {"fit": "residual_blocks"}),
    (OCC, {"fit": "identity"}),
    (OCC, {"fit_depth": 1}),
    (OCC, {"fit_attention": "softmax"}),
    (OCC, {"fit_attention": "softmax_softmax"}),
    (OCC, {"gate_pooling": "mean"}),
    (OCC, {"fit_residual": "q_soft"}),
    (OCC, {"fit_residual": "q_sig"}),
    (OCC, {"fit_fusion": "sum"}),
    (OCC, {"set": "residual_blocks"}),
    (OCC, {"set": "identity"}),
    (OCC, {"set_modules": 2}),
    (OCC, {"set_depth": 1}),
    (OCC, {"set_keys": "updated"}),
    (OCC, {"set_residual": "query"}),
    (GCAT, {"flat_hand_mean": False}),
    (GCAT, {"kgc": "mlp"}),
    (GCAT, {"kgc_layers": 3}),
    (GCAT, {"kgc_order": 2}),
    (GRAPH, {"kgc_graph": "bones"}),
    (GRAPH, {"kgc_laplacian": "rescaled"}),
    (GCAT, {"kgc_activation": "relu"}),
    (GCAT, {"cat_blocks": 1}),
    (GCAT, {"cat_order": "simultaneous"}),
    (GCAT, {"cat_order": "image_only"}),
    (GCAT, {"cat_embedding": "none"}),
    (GCAT, {"cat_embedding": "after_projection"}),
    (GCAT, {"cat_heads": 1}),
    (GCAT, {"cat_residual": "query"}),
    (GCAT, {"cat_mlp": "plain"}),
    (GCAT, {"cat_output": "conv"}),
    (GCAT, {"kgc_splat": True}),
    (GCAT, {"inputs_may_miss": True}),
]


@torch.no_grad()
def filled(config, hand):
    """A network whose weights depend on their names and shapes only: what two networks share is equal in both."""
    model = build_model(config, hand).eval()
    for name, p in model.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        fan_in = p[0].numel() if p.ndim > 1 else 4
        p.copy_(torch.randn(p.shape, generator=generator) / fan_in**0.5 + (p.ndim == 1 and name.endswith("weight")))
    for step in model.regressor.lifter.steps if model.regressor.lifter else ():
        # As trained, its steps turn the hand by some degrees; large turns would let rounding grow from each step to the next.
        step.pose.weight.mul_(0.05)
        step.pose.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).repeat(16))
    return model


@pytest.mark.parametrize(
    ("base", "switch"), SWITCHES, ids=lambda v: "-".join(f"{k}={x}" for k, x in v.items()) if isinstance(v, dict) else ""
)
@torch.no_grad()
def test_switch_changes_the_output(base, switch, open_hand):
    changed = replace(base, **switch)
    outputs = []
    for config in (base, changed):
        model = filled(config, open_hand)
        outputs.append(model(small_inputs(base) if config.input_size == base.input_size else small_inputs(config)))
    has_more = (outputs[0].joint_sigma is None) != (outputs[1].joint_sigma is None)
    assert has_more or (outputs[0].joints - outputs[1].joints).abs().max() > 1e-6


def test_every_switch_is_tested():
    sizes = {"map_size", "channels", "trunk", "trunk_width", "hourglass_depth", "encoder_channels", "encoder_levels", "head_widths"}
    sizes |= {"lifter_width", "lifter_steps"}
    agreeing = {"lifter_turns"}  # does nothing where the weights are random; test_lifter tries it with trained ones
    start = {"initialisation", "embedding_std"}
    meaning = {"orientation"}  # of the same numbers; tests/data/test_training_crop tries it
    tested = {name for _, switch in SWITCHES for name in switch}
    fields = set(HandOccNetConfig.__dataclass_fields__) | set(HandGCATConfig.__dataclass_fields__)
    assert fields - sizes - start - agreeing - meaning == tested


@pytest.mark.parametrize("pooling", ["sum", "mean"])
def test_gate_pools_the_whole_correlation(pooling):
    q, k = torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    gate = Gate(replace(OCC, gate_pooling=pooling))
    correlation = split_heads(q, 4) @ split_heads(k, 4).mT / 4**0.5
    torch.testing.assert_close(gate(q, k), torch.sigmoid(getattr(correlation, pooling)(-1, keepdim=True)))


def test_without_fit_the_two_halves_are_put_together_again():
    primary, secondary = torch.rand(2, 1, 16, 8, 8)
    torch.testing.assert_close(Replacement("identity", 16)(primary, secondary), primary + secondary)


@torch.no_grad()
def test_released_kgc_is_one_affine_map_and_no_joint_sees_another():
    torch.manual_seed(0)
    kgc = KGC(GCAT).eval()
    a, b = torch.rand(1, 21, 2), torch.rand(1, 21, 2)
    torch.testing.assert_close(kgc((a + b) / 2), (kgc(a) + kgc(b)) / 2)
    moved = a.clone()
    moved[:, 7] += 0.1
    assert (kgc(moved) - kgc(a)).abs().sum((0, 2, 3)).nonzero().flatten().tolist() == [7]


@torch.no_grad()
def test_order_two_reaches_neighbours_and_no_further():
    kgc = KGC(replace(GCAT, kgc_order=2, kgc_layers=1, kgc_graph="bones")).eval()
    joints = torch.rand(1, 21, 2)
    moved = joints.clone()
    moved[:, 7] += 0.1
    assert (kgc(moved) - kgc(joints)).abs().sum((0, 2, 3)).nonzero().flatten().tolist() == [6, 7, 8]


def test_rescaled_laplacian_fills_the_range_of_chebyshev_polynomials():
    L = laplacian(hand_adjacency("bones"), "rescaled")
    eigenvalues = np.linalg.eigvalsh(L)
    np.testing.assert_allclose(eigenvalues[[0, -1]], (-1, 1), atol=1e-12)
    T = chebyshev(L, 4).double().numpy()
    for order, polynomial in enumerate(T):
        np.testing.assert_allclose(
            np.sort(np.linalg.eigvalsh(polynomial)), np.sort(np.cos(order * np.arccos(eigenvalues.clip(-1, 1)))), atol=1e-5
        )


def test_graph_edges():
    assert hand_adjacency("bones").sum() == 2 * 20
    assert hand_adjacency("bones_and_levels").sum() == 2 * (20 + 16) + 21


@torch.no_grad()
def test_simultaneous_attention_does_not_see_the_updated_image():
    torch.manual_seed(0)
    image, pose = torch.rand(1, 16, 8, 8), torch.rand(1, 21, 8, 8)
    block = CATBlock(replace(GCAT, cat_order="simultaneous"))
    for p in block.parameters():
        torch.nn.init.normal_(p, std=0.3)
    before = block(image, pose)
    torch.nn.init.normal_(block.image_from_pose.mlp.narrow.weight)
    after = block(image, pose)
    assert not torch.equal(before[0], after[0])
    torch.testing.assert_close(before[1], after[1])


@torch.no_grad()
def test_imagenet_normalisation_takes_out_the_mean_of_each_colour():
    torch.manual_seed(0)
    plain, normalising = (Trunk(replace(OCC, image_normalisation=kind)).eval() for kind in ("none", "imagenet"))
    normalising.load_state_dict(plain.state_dict())
    image = torch.rand(2, 3, 64, 64)
    mean, deviation = (torch.tensor(numbers).view(3, 1, 1) for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(normalising(image), plain((image - mean) / deviation))


@torch.no_grad()
def test_regressed_joints_are_the_chains_at_rest(open_hand):
    head = ManoHead(replace(OCC, joints_from="regressor"), open_hand)
    rest = open_hand(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10))
    torch.testing.assert_close(head._regressed_joints(rest.vertices), rest.joints, atol=1e-5, rtol=0)


def test_a_bump_lies_at_each_known_joint():
    joints = torch.rand(2, 21, 2, generator=torch.Generator().manual_seed(0))
    joints[0, 4, 1] = torch.nan
    bumps = KGC(replace(GCAT, kgc_splat=True, inputs_may_miss=True))._bumps(joints)
    assert not bumps[0, 4].any()
    known = joints.isfinite().all(-1)
    place = bumps.flatten(2).argmax(-1)
    torch.testing.assert_close(torch.stack([place % 8, place // 8], dim=-1)[known], (8 * joints[known]).long())


@torch.no_grad()
def test_a_black_crop_says_nothing(open_hand):
    """Whatever the trunk makes of it; beside one with a picture too."""
    model = filled(replace(GCAT, inputs_may_miss=True), open_hand)
    image, joints = small_inputs(GCAT)
    image[0] = 0
    before = model(ModelInput(image, joints)).joints
    model.trunk.smooth.bias.add_(1.0)
    after = model(ModelInput(image, joints)).joints
    assert torch.equal(before[0], after[0])
    assert (before[1] - after[1]).abs().max() > 1e-4


@torch.no_grad()
def test_sight_is_read_under_the_heat_maps():
    """Visibilities first, then depths; the perceptron says nothing here."""
    head = SightHead(replace(OCC, joint_heads=True), numbers_known=84)
    for values in (*head.report[-1].parameters(), head.maps.bias):
        values.zero_()
    probabilities = torch.rand(2, 21, 64, generator=torch.Generator().manual_seed(0)).softmax(-1).view(2, 21, 8, 8)
    features = torch.rand(2, 16, 8, 8)
    sight = head(features, Heatmaps(torch.rand(2, 21, 2), probabilities, features), torch.rand(2, 84))
    under = torch.einsum("bjyx, bcyx -> bjc", probabilities, features)
    seen, depth = torch.einsum("bjc, kjc -> kbj", under, head.maps.weight.view(2, 21, 16))
    torch.testing.assert_close(sight.seen, seen)
    torch.testing.assert_close(sight.depth, 0.03 * depth)
    torch.testing.assert_close(sight.depth_spread, torch.full((2, 21), 0.03))


@torch.no_grad()
def test_what_is_said_of_joints_is_a_probability_and_the_sights(open_hand):
    model = filled(replace(OCC, joint_heads=True), open_hand)
    said = []
    model.regressor.sight.register_forward_hook(lambda module, args, output: said.append(output))
    output = model(small_inputs(OCC))
    torch.testing.assert_close(output.joint_visibility, 1 / (1 + torch.exp(-said[0].seen)))
    assert torch.equal(output.joint_depth, said[0].depth)
    assert torch.equal(output.joint_depth_sigma, said[0].depth_spread)
