"""The hand layer against the released layer's outputs, and its own properties."""

from pathlib import Path

import numpy as np
import pytest
import torch

from occhand.geometry.rotation import axis_angle_to_matrix, mirror_rotation
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.skeleton import MOVED_JOINTS, TIP_SETS, tip_vertices
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import excess

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@pytest.mark.parametrize(("net", "flat_hand_mean"), [("handoccnet", False), ("handgcat", True)])
def test_agrees_with_the_released_layer(net, flat_hand_mean, golden_parameters):
    golden = np.load(Path(golden_recipe.HERE, f"{net}.npz"))
    pose, betas = (torch.from_numpy(a).float() for a in golden_recipe.mano_inputs())
    layer = HandLayer(golden_parameters)
    posed = layer(layer.rotations_from_axis_angle(pose, flat_hand_mean), betas)
    assert excess("mano/verts_mm", golden["mano/verts_mm"], 1e3 * posed.vertices[:, ::3]) <= 1
    assert excess("mano/joints_mm", golden["mano/joints_mm"], 1e3 * posed.joints) <= 1


@pytest.fixture(scope="module")
def layer():
    return load_hand("open")


def random_pose(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.4 * torch.randn(count, 48, generator=generator), torch.randn(count, 10, generator=generator)


def test_rest_pose_is_the_template(layer):
    posed = layer(layer.rotations_from_axis_angle(torch.zeros(48)), torch.zeros(10))
    torch.testing.assert_close(posed.vertices, layer.v_template, atol=1e-6, rtol=0)
    torch.testing.assert_close(posed.transforms[:, :3, 3], layer.joint_template, atol=1e-6, rtol=0)


def test_leading_dimensions_are_free(layer):
    pose, betas = random_pose(6)
    R = layer.rotations_from_axis_angle(pose)
    flat = layer(R, betas)
    folded = layer(R.view(2, 3, 16, 3, 3), betas.view(2, 3, 10))
    torch.testing.assert_close(folded.vertices.view(6, 778, 3), flat.vertices)
    torch.testing.assert_close(layer(R[4], betas[4]).joints, flat.joints[4], atol=1e-6, rtol=0)


def test_the_skeleton_is_the_posed_hands(layer):
    pose, betas = random_pose(6)
    R = layer.rotations_from_axis_angle(pose)
    posed, skeleton = layer(R, betas), layer.skeleton(R, betas)
    torch.testing.assert_close(skeleton.joints, posed.joints, atol=1e-5, rtol=0)
    torch.testing.assert_close(skeleton.centres, posed.transforms[..., :3, 3], atol=1e-6, rtol=0)
    torch.testing.assert_close(skeleton.rotations, posed.transforms[..., :3, :3], atol=1e-6, rtol=0)


def test_a_rotation_moves_the_joints_beyond_it(layer):
    pose, betas = random_pose(1)
    R = layer.rotations_from_axis_angle(pose).expand(16, -1, -1, -1).clone()
    R[range(16), range(16)] = R[range(16), range(16)] @ axis_angle_to_matrix(torch.tensor([0.3, 0.2, 0.1]))
    before, after = layer.skeleton(layer.rotations_from_axis_angle(pose), betas).joints, layer.skeleton(R, betas.expand(16, -1)).joints
    assert ((after - before).norm(dim=-1) > 1e-4).tolist() == [list(row) for row in MOVED_JOINTS]


def test_root_rotation_turns_the_hand_about_its_wrist(layer):
    pose, betas = random_pose(3)
    R = layer.rotations_from_axis_angle(pose)
    upright = R.clone()
    upright[:, 0] = torch.eye(3)
    wrist = layer.rest_joints(betas)[:, :1]
    turned = (layer(upright, betas).vertices - wrist) @ R[:, 0].mT + wrist
    torch.testing.assert_close(layer(R, betas).vertices, turned, atol=1e-6, rtol=0)


def test_gradients_are_finite_at_the_identity_and_at_pi(layer):
    for pose in (torch.zeros(48), torch.tensor([torch.pi, 0.0, 0.0]).repeat(16)):
        pose, betas = pose.clone().requires_grad_(), torch.zeros(10, requires_grad=True)
        posed = layer(layer.rotations_from_axis_angle(pose), betas)
        (posed.vertices.square().sum() + posed.joints.sum()).backward()
        assert torch.isfinite(pose.grad).all()
        assert torch.isfinite(betas.grad).all()
        assert pose.grad.abs().max() > 0


def test_gradients_match_finite_differences(layer):
    layer = load_hand("open").double()
    pose, betas = (x[:1].double().requires_grad_() for x in random_pose(1))
    probe = torch.randn(21, 3, generator=torch.Generator().manual_seed(3)).double()
    assert torch.autograd.gradcheck(lambda p, b: (layer(layer.rotations_from_axis_angle(p), b).joints * probe).sum(), (pose, betas))


def test_mean_pose_and_principal_components(layer):
    mean = layer.rotations_from_axis_angle(torch.zeros(48), flat_hand_mean=False)
    torch.testing.assert_close(mean[1:], axis_angle_to_matrix(layer.hands_mean.view(15, 3)))
    coefficients = torch.randn(45, generator=torch.Generator().manual_seed(1))
    by_hand = torch.cat([torch.zeros(3), coefficients @ layer.hands_components + layer.hands_mean])
    torch.testing.assert_close(layer.rotations_from_pca(torch.zeros(3), coefficients), layer.rotations_from_axis_angle(by_hand))
    torch.testing.assert_close(
        layer.rotations_from_pca(torch.zeros(3), coefficients[:6]),
        layer.rotations_from_pca(torch.zeros(3), coefficients * (torch.arange(45) < 6)),
    )


def test_left_hand_is_the_mirror_of_the_right(layer):
    left = load_hand("open", side="left")
    pose, betas = random_pose(4)
    R = layer.rotations_from_axis_angle(pose)
    torch.testing.assert_close(left(mirror_rotation(R), betas).vertices, layer(R, betas).vertices * MIRROR, atol=1e-6, rtol=0)
    mean_left = left.rotations_from_axis_angle(torch.zeros(48), flat_hand_mean=False)
    torch.testing.assert_close(mean_left, mirror_rotation(layer.rotations_from_axis_angle(torch.zeros(48), flat_hand_mean=False)))
    of_pca = torch.zeros(3), torch.randn(45, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(left.rotations_from_pca(*of_pca), mirror_rotation(layer.rotations_from_pca(*of_pca)))
    assert torch.equal(left.faces, layer.faces.flip(1)), "a mirror turns the triangles inside out"


@pytest.mark.parametrize("tip_set", TIP_SETS)
def test_tip_set_chooses_the_fingertip_vertices(tip_set):
    hand = load_hand("open", tip_set=tip_set)
    posed = hand(hand.rotations_from_axis_angle(torch.zeros(48)), torch.zeros(10))
    torch.testing.assert_close(posed.joints[[4, 8, 12, 16, 20]], posed.vertices[list(tip_vertices(tip_set))])


def test_joints_are_in_the_house_order(layer):
    """At rest each finger's joints run away from the wrist, and the fingers lie from +Z (thumb) to -Z (pinky)."""
    joints = layer(layer.rotations_from_axis_angle(torch.zeros(48)), torch.zeros(10)).joints
    distance = (joints[1:] - joints[0]).norm(dim=-1).view(5, 4)
    assert (distance.diff(dim=1) > 0.01).all()
    assert (joints[[4, 8, 12, 16, 20], 2].diff() < 0).all()
    assert (joints[[5, 9, 13, 17], 2].diff() < 0).all()
