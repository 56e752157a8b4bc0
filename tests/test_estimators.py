"""Networks as estimators: crops, mirrors, where the 2D joints come from, refinement, maps. Their weights are random here."""

import zlib
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand import Predictor, create_model, load_hand
from occhand.detect import DetectedHand, Keypoints2D
from occhand.estimators import DefaultEstimator, FitEstimator, HandView, NetworkEstimator, network
from occhand.estimators.network import trust_seen
from occhand.hand.assets import load_parameters
from occhand.models.checkpoint import save_checkpoint
from occhand.models.orientation import in_camera_axes
from occhand.models.presets import build_model, find_preset
from occhand.pretrained import load_estimator, load_weights
from occhand.types import Camera
from tests.hand.mano_standin import mano_content, write_mano
from tests.models.conftest import small

QUIET = ("regressor.lifter.steps", "regressor.sight", "regressor.mano_head.sigma")
LAST_TURN = "regressor.lifter.steps.4.pose.weight"
K = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def networks():
    """Small networks with weights large enough for their outputs to depend on the picture. What is said of joints keeps its size, and the
    lifter its small turns (large ones let rounding grow from step to step) but for the last, which makes a hand of some pose."""
    made = {}
    for name in ("handoccnet-open-s", "handgcat-open-s"):
        torch.manual_seed(0)
        model = create_model(name)
        for key, parameter in model.named_parameters():
            is_loud = not key.startswith(QUIET) or key == LAST_TURN
            if parameter.ndim > 1 and is_loud:  # each by its name, so that a part that is added later leaves the others as they are
                generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
                torch.nn.init.xavier_normal_(parameter.detach().flatten(1), generator=generator)
        made[name] = model.eval()
    return made


@pytest.fixture
def files(networks, tmp_path):
    paths = {name: tmp_path / f"{name}.safetensors" for name in networks}
    for name, model in networks.items():
        save_checkpoint(model, paths[name], data="none", licence="none")
    return paths


def view(picture, hand, side="right"):
    return HandView.of(picture, DetectedHand(hand.bbox_xyxy, side, 1.0, hand.keypoints), Camera(K, *picture.shape[:2]))


def test_handoccnet_needs_only_a_box_and_its_own_joints_place_it(networks, files, example_image, example_hand):
    predictor = Predictor.from_pretrained(files["handoccnet-open-s"], refine=False)
    (hand,) = predictor(example_image, boxes=example_hand.bbox_xyxy[None], sides=["right"], K=K)
    assert (hand.keypoint_source, hand.estimator) == ("handoccnet", "HandOccNet, placed by its own 2D joints")
    model = networks["handoccnet-open-s"]
    inputs, crop_from_img, _ = predictor.estimator._prepare([view(example_image, example_hand)])
    output = in_camera_axes(model(inputs), model.config, crop_from_img @ torch.from_numpy(K).float())
    np.testing.assert_allclose(hand.vertices - hand.translation, output.vertices[0].detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(hand.betas, output.betas[0].detach().numpy(), atol=1e-3)


@pytest.mark.parametrize("name", ["handoccnet-open-s", "handgcat-open-s"])
def test_where_in_the_picture_a_hand_is_turns_it_as_a_camera_would(networks, name, example_image, example_hand):
    """The same pixels seen off the axis are a hand that is turned by the angle to the axis; the network is not shown the difference."""
    shown = view(example_image, example_hand)
    estimator = NetworkEstimator(networks[name], refine=False)
    middle = torch.linalg.inv(estimator._prepare([shown])[1][0].double()) @ torch.tensor([64.0, 64.0, 1.0], dtype=torch.float64)
    ahead = K.copy()
    ahead[:2, 2] = middle[:2]
    off_axis = ahead.copy()
    off_axis[0, 2] -= 600 * np.tan(0.3)
    estimate = estimator([replace(shown, K=ahead), replace(shown, K=off_axis)])
    output = networks[name](estimator._prepare([shown])[0])
    torch.testing.assert_close(estimate.rotations[0], output.rotations[0], atol=1e-4, rtol=0)
    turn = estimate.rotations[1, 0] @ estimate.rotations[0, 0].T
    torch.testing.assert_close(turn[0, 2], torch.tensor(np.sin(0.3)).float(), atol=1e-3, rtol=0)
    for hand in estimator([replace(shown, K=off_axis)]), estimate:
        posed = estimator.hand(hand.rotations, hand.betas)
        torch.testing.assert_close(posed.vertices + hand.translation[:, None], hand.vertices, atol=1e-5, rtol=0)


def test_a_hand_is_refined_by_joints_that_are_not_the_networks_own(networks, example_image, example_hand):
    """Where nothing is said of refinement; in one batch too."""
    bare = replace(view(example_image, example_hand), keypoints=None)
    estimate = NetworkEstimator(networks["handoccnet-open-s"])([bare, view(example_image, example_hand), bare])
    own = "HandOccNet, placed by its own 2D joints"
    assert estimate.descriptions == [own, "HandOccNet, refined by the fit to the given 2D joints", own]
    torch.testing.assert_close(estimate.joints[0], estimate.joints[2])
    forced = NetworkEstimator(networks["handoccnet-open-s"], refine=True)([bare])
    assert forced.descriptions == ["HandOccNet, refined by the fit to its own 2D joints"]


def test_by_default_hands_with_joints_and_without_go_to_different_networks(networks, example_image, example_hand):
    gcat, occnet = NetworkEstimator(networks["handgcat-open-s"]), NetworkEstimator(networks["handoccnet-open-s"])
    opened = []
    estimator = DefaultEstimator(gcat, lambda: opened.append(1) or occnet)
    known, bare = view(example_image, example_hand), replace(view(example_image, example_hand), keypoints=None)
    alone = estimator([known])
    assert opened == []  # the second network is loaded at the first need
    both = estimator([bare, known, bare])
    assert opened == [1]
    torch.testing.assert_close(both.joints[1:2], alone.joints, atol=1e-4, rtol=0)
    torch.testing.assert_close(both.joints[:1], occnet([bare]).joints, atol=1e-4, rtol=0)
    torch.testing.assert_close(both.joint_sigma[2:], occnet([bare]).joint_sigma)
    assert [points.source for points in both.keypoints] == ["handoccnet", "file", "handoccnet"]
    assert both.descriptions == [
        "HandOccNet, placed by its own 2D joints (the default where no 2D joints can be had)",
        "HandGCAT, refined by the fit to the given 2D joints (the default where 2D joints are known)",
        "HandOccNet, placed by its own 2D joints (the default where no 2D joints can be had)",
    ]
    crop, maps = estimator.look_inside(bare)
    assert "necessity" in maps
    assert crop.shape[0] == occnet._model.config.input_size


def test_refinement_moves_the_hand_onto_the_joints(files, example_image, example_hand):
    given = {"keypoints": [example_hand], "K": K}
    (plain,) = Predictor.from_pretrained(files["handgcat-open-s"], refine=False)(example_image, **given)
    (refined,) = Predictor.from_pretrained(files["handgcat-open-s"], refine=True)(example_image, **given)
    assert refined.reprojection_error_px < 0.5 * plain.reprojection_error_px
    assert "refined" in refined.estimator


def test_a_left_hand_is_shown_to_the_network_in_a_mirror(files, example_image, example_hand):
    predictor = Predictor.from_pretrained(files["handgcat-open-s"], refine=False)
    (right,) = predictor(example_image, keypoints=[example_hand], K=K)
    x1, y1, x2, y2 = example_hand.bbox_xyxy
    mirrored = DetectedHand(np.array([639 - x2, y1, 639 - x1, y2]), "left", 1.0, example_hand.keypoints.mirrored(640))
    mirrored_K = K.copy()
    mirrored_K[0, 2] = 639 - K[0, 2]
    (left,) = predictor(np.ascontiguousarray(example_image[:, ::-1]), keypoints=[mirrored], K=mirrored_K)
    np.testing.assert_allclose(left.vertices, right.vertices * (-1, 1, 1), atol=1e-4)


def test_handoccnets_joints_can_feed_handgcat(files, example_image, example_hand):
    predictor = Predictor.from_pretrained(files["handgcat-open-s"], joints_from=files["handoccnet-open-s"])
    (hand,) = predictor(example_image, boxes=example_hand.bbox_xyxy[None], sides=["right"])
    assert hand.keypoint_source == "handoccnet"


def test_2d_joints_reach_handgcat_in_crop_units(networks, example_image, example_hand):
    inputs, crop_from_img, _ = NetworkEstimator(networks["handgcat-open-s"])._prepare([view(example_image, example_hand)])
    known = inputs.joints_crop[0, example_hand.keypoints.weights > 0]
    assert ((known > 0.1) & (known < 0.9)).all()
    homogeneous = torch.cat([torch.from_numpy(example_hand.keypoints.joints_img).float(), torch.ones(21, 1)], dim=1)
    size = inputs.image.shape[-1]
    expected = (homogeneous @ crop_from_img[0].T)[:, :2]
    expected[example_hand.keypoints.weights == 0] = torch.nan  # what nobody saw is missing, as in training
    torch.testing.assert_close(size * inputs.joints_crop[0], expected, atol=1e-3, rtol=0, equal_nan=True)


def test_the_crop_shows_what_the_joints_say(networks, example_image, example_hand):
    """A bright square painted at a joint is found in the crop at that joint, for a hand near the image's corner too."""
    for joint in ((320.0, 200.0), (630.0, 470.0)):
        picture = np.zeros_like(example_image)
        column, row = int(joint[0]), int(joint[1])
        picture[row - 2 : row + 3, column - 2 : column + 3] = 255
        box = np.array([joint[0] - 60, joint[1] - 60, joint[0] + 60, joint[1] + 60])
        keypoints = Keypoints2D(np.tile(joint, (21, 1)), np.ones(21), "given")
        hand = DetectedHand(box, "left", 1.0, keypoints)
        seen = HandView.of(picture, hand, Camera(K, 480, 640))
        inputs, _, _ = NetworkEstimator(networks["handgcat-open-s"])._prepare([seen])
        brightness = inputs.image[0, 0]
        size = brightness.shape[-1]
        v, u = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
        centroid = torch.stack([(u * brightness).sum(), (v * brightness).sum()]) / brightness.sum()
        torch.testing.assert_close(centroid, size * inputs.joints_crop[0, 0], atol=0.3, rtol=0)


def test_what_a_network_says_of_its_joints_reaches_the_mesh(networks, example_image, example_hand):
    estimator = NetworkEstimator(networks["handgcat-open-s"])
    (hand,) = Predictor(estimator)(example_image, keypoints=[example_hand], K=K)
    output = networks["handgcat-open-s"](estimator._prepare([view(example_image, example_hand)])[0])
    np.testing.assert_allclose(hand.joint_sigma, output.joint_sigma[0].detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(hand.joint_visibility, output.joint_visibility[0].detach().numpy(), rtol=1e-5)


def test_given_joints_place_an_unrefined_hand_by_their_weights(files, example_image, example_hand):
    """The network's own joints are nowhere (its weights are random), so only given ones can bring the hand to theirs."""
    (hand,) = Predictor.from_pretrained(files["handgcat-open-s"], refine=False)(example_image, keypoints=[example_hand], K=K)
    seen = example_hand.keypoints.weights > 0
    assert hand.estimator == "HandGCAT, placed by the given 2D joints"
    np.testing.assert_allclose(hand.joints_img[seen].mean(0), example_hand.keypoints.joints_img[seen].mean(0), atol=20)
    far = example_hand.keypoints.joints_img + np.where(seen, 0, 400)[:, None]
    same = DetectedHand(example_hand.bbox_xyxy, "right", 1.0, Keypoints2D(far, example_hand.keypoints.weights, "file"))
    (again,) = Predictor.from_pretrained(files["handgcat-open-s"], refine=False)(example_image, keypoints=[same], K=K)
    np.testing.assert_array_equal(again.joints, hand.joints)


def test_joints_that_the_network_holds_for_hidden_place_a_hand_less(networks, example_image, example_hand, monkeypatch):
    estimator, used = NetworkEstimator(networks["handgcat-open-s"], refine=False), []
    solve = network.solve_translation
    monkeypatch.setattr(network, "solve_translation", lambda *args: used.append(args[-1]) or solve(*args))
    visibility = estimator([view(example_image, example_hand)]).joint_visibility
    given = torch.from_numpy(example_hand.keypoints.weights).float()[None]
    torch.testing.assert_close(used[0], trust_seen(given, visibility))


def test_an_identity_is_of_weights_hand_and_refinement(networks):
    model = networks["handgcat-open-s"]
    other_weights, other_hand = deepcopy(model), deepcopy(model)
    next(other_weights.parameters()).data[0] += 1e-3
    other_hand.hand.v_template[0] += 1e-3
    identities = [NetworkEstimator(each).identity() for each in (model, other_weights, other_hand)]
    identities += [NetworkEstimator(model, refine=refine).identity() for refine in (True, False)]
    identities.append(NetworkEstimator(model, joints_model=networks["handoccnet-open-s"]).identity())
    assert len(set(identities)) == len(identities)
    assert NetworkEstimator(deepcopy(model)).identity() == identities[0]


def test_hidden_joints_count_a_ninth():
    weights = trust_seen(torch.full((1, 21), 0.5), torch.linspace(0, 1, 21)[None])
    torch.testing.assert_close(weights[0, [0, 10, 20]], torch.tensor([0.5 / 9, 0.5 * 5 / 9, 0.5]))


@pytest.mark.parametrize("name", ["handoccnet-open-s", "handgcat-open-s"])
def test_maps_are_there_for_both_networks(files, name, example_image, example_hand):
    predictor = Predictor.from_pretrained(files[name])
    (hand,) = predictor(example_image, keypoints=[example_hand])
    crop, maps = predictor.look_inside(example_image, hand)
    assert crop.shape == (find_preset(name).config.input_size,) * 2 + (3,)
    expected = {"necessity", "FIT from the wrist"} if name == "handoccnet-open-s" else {"norm: kgc", "norm: cat"}
    assert expected <= set(maps)
    assert all(np.isfinite(values).all() for values in maps.values())


def test_a_hand_and_a_source_of_joints_reach_the_estimator(tmp_path):
    """Of the fit too; without a name, HandOccNet's joints go to HandGCAT."""
    pickle = write_mano(tmp_path / "MANO_RIGHT.pkl", mano_content(load_parameters("open")))
    assert [load_estimator("fit", hand).hand.name for hand in (None, "open", pickle)] == ["open", "open", "mano"]
    assert load_estimator("handoccnet-open-s", pickle).hand.name == "mano"
    fed = load_estimator(joints_from="handoccnet-open-s")
    assert fed.has_joints_model
    assert fed.description.startswith("handgcat-open-s")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pth.tar", ".safetensors"])
def test_files_of_weights_are_known_by_their_suffix(suffix, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match="none") as caught:
        load_weights(tmp_path / f"none{suffix}")
    assert "Unknown model" not in str(caught.value)
    with pytest.raises(ValueError, match="Did you mean 'handgcat-open-s'"):
        load_weights("handgcat-open")


def test_options_that_do_not_go_together_are_refused(files, example_image, example_hand):
    with pytest.raises(ValueError, match="from a HandOccNet to a HandGCAT"):
        Predictor.from_pretrained(files["handoccnet-open-s"], joints_from=files["handgcat-open-s"])
    with pytest.raises(ValueError, match="from a HandOccNet to a HandGCAT"):
        Predictor.from_pretrained(files["handgcat-open-s"], joints_from=files["handgcat-open-s"])
    for options in ({"runtime": "torch"}, {"precision": "fp32"}):
        with pytest.raises(ValueError, match="The fit is no network"):
            Predictor.from_pretrained("fit", **options)
    with pytest.raises(ValueError, match="the fit takes the detector's"):
        Predictor.from_pretrained("fit", joints_from=files["handoccnet-open-s"])
    predictor = Predictor.from_pretrained("fit")
    (hand,) = predictor(example_image, keypoints=[example_hand])
    with pytest.raises(ValueError, match="The fit has no maps"):
        predictor.look_inside(example_image, hand)


def test_a_box_outside_of_the_image_is_refused(networks, example_image, example_hand):
    outside = DetectedHand(np.array([700.0, 10.0, 800.0, 100.0]), "right", 1.0, example_hand.keypoints)
    estimator = NetworkEstimator(networks["handgcat-open-s"])
    with pytest.raises(ValueError, match="lies outside of the image"):
        estimator([HandView.of(example_image, outside, Camera(K, 480, 640))])


def test_a_fit_does_not_depend_on_the_other_hands_of_a_picture(example_image, example_hand):
    """A hand with a cue for depth beside one without keeps it."""
    estimator = FitEstimator(load_hand("open"))
    cue = estimator([view(example_image, example_hand)]).joints[0]
    with_cue = replace(example_hand, keypoints=replace(example_hand.keypoints, joints_world=(cue - cue.mean(0)).double().numpy()))
    views = [view(example_image, hand) for hand in (example_hand, with_cue, example_hand)]
    together, alone = estimator(views), estimator(views[1:2])
    torch.testing.assert_close(together.joints[1], alone.joints[0], atol=1e-5, rtol=0)
    assert together.descriptions[1] == alone.descriptions[0] != together.descriptions[0] == together.descriptions[2]


def test_joints_that_a_network_is_shown_by_guess_are_said(networks, example_image, example_hand):
    unknown = int((example_hand.keypoints.weights == 0).sum())
    assert unknown > 0
    shown = [view(example_image, example_hand)]
    assert "unknown" not in NetworkEstimator(networks["handgcat-open-s"])(shown).descriptions[0]
    torch.manual_seed(0)
    released = build_model(small(find_preset("handgcat").config)).eval()
    assert f"; {unknown} unknown joints shown to it at the mean of the known" in NetworkEstimator(released)(shown).descriptions[0]
