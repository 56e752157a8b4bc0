"""From an image to meshes: frames, sides, sources, and what cannot be used."""

from dataclasses import replace

import jaxtyping
import numpy as np
import pytest
import torch

from occhand import HandMesh, Predictor, load_hand
from occhand.detect import DetectedHand, Keypoints2D
from occhand.detect.mediapipe import MediaPipeHands
from occhand.estimators import Estimate
from occhand.hand.skeleton import JOINT_NAMES
from occhand.result import draw_hands, result_record
from occhand.types import Camera

K = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])


@pytest.fixture
def joints(example_hand):
    points = example_hand.keypoints.joints_img.copy()
    points[example_hand.keypoints.weights == 0] = np.nan
    return points[None]


def test_the_mesh_lies_on_the_hand_in_the_camera_frame(predictor, example_image, example_hand):
    (hand,) = predictor(example_image, K=K)
    assert isinstance(hand, HandMesh)
    assert (hand.side, hand.keypoint_source, hand.camera.source) == ("right", "mediapipe", "given")
    seen = example_hand.keypoints.weights > 0
    assert np.linalg.norm(hand.joints_img - example_hand.keypoints.joints_img, axis=1)[seen].max() < 3
    assert 0.2 < hand.joints[0, 2] < 0.5  # the scene has the hand a third of a metre away
    assert hand.reprojection_error_px < 2
    np.testing.assert_allclose(hand.vertices[317] * 0 + hand.joints[JOINT_NAMES.index("index4")], hand.vertices[317], atol=1e-5)


def test_hidden_joints_are_close_to_the_truth(predictor, example_image, example_hand):
    """The fingers behind the can are placed by the prior, within two finger widths of where the renderer had them."""
    (hand,) = predictor(example_image, K=K)
    hidden = example_hand.keypoints.weights == 0
    assert hidden.sum() >= 5
    assert np.linalg.norm(hand.joints_img - example_hand.keypoints.joints_img, axis=1)[hidden].max() < 60


@pytest.mark.parametrize("side", ["right", "left"])
def test_parameters_make_the_vertices(predictor, joints, example_image, side):
    """`HandLayer(rotations, betas).vertices + translation == vertices`, for either side."""
    (hand,) = predictor(example_image, keypoints=joints, sides=[side], K=K)
    layer = load_hand("open", side=side)
    posed = layer(torch.from_numpy(hand.rotations).float(), torch.from_numpy(hand.betas).float())
    np.testing.assert_allclose(posed.vertices.numpy() + hand.translation, hand.vertices, atol=2e-5)
    np.testing.assert_array_equal(layer.faces.numpy(), hand.faces)


def test_a_mirrored_left_hand_is_the_mirror_image(predictor, joints, example_image):
    (right,) = predictor(example_image, keypoints=joints, sides=["right"], K=K)
    mirrored = joints * np.array([-1, 1]) + np.array([639, 0])
    (left,) = predictor(example_image, keypoints=mirrored, sides=["left"], K=K)
    np.testing.assert_allclose(left.vertices, right.vertices * (-1, 1, 1), atol=1e-5)
    np.testing.assert_allclose(left.joints_img, right.joints_img * (-1, 1) + (639, 0), atol=1e-2)
    np.testing.assert_array_equal(left.faces, right.faces[:, ::-1])


def test_several_hands_at_once_equal_one_by_one(predictor, joints, example_image):
    shifted = joints + np.array([25, -10])
    both = predictor(example_image, keypoints=np.concatenate([joints, shifted]), sides=["right", "left"], K=K)
    (second,) = predictor(example_image, keypoints=shifted, sides=["left"], K=K)
    assert [hand.side for hand in both] == ["right", "left"]
    np.testing.assert_allclose(both[1].joints, second.joints, atol=1e-4)


def test_a_box_is_searched_and_an_empty_one_left_out(predictor, example_image, example_hand, caplog):
    corner = np.array([600.0, 440.0, 639.0, 479.0])
    hands = predictor(example_image, boxes=np.stack([example_hand.bbox_xyxy, corner]), sides=["left", None])
    assert [(hand.side, hand.bbox_source, hand.keypoint_source) for hand in hands] == [("left", "given", "mediapipe")]
    assert "No hand seen in box 600,440,639,479" in caplog.text


def test_a_side_is_right_or_left(predictor, example_image, example_hand, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no checks of types
    with pytest.raises(ValueError, match="Unknown side 'Right'"):
        predictor(example_image, boxes=example_hand.bbox_xyxy[None], sides=["Right"])


def test_without_intrinsics_the_camera_is_marked_as_assumed(predictor, example_image):
    (hand,) = predictor(example_image)
    assert hand.camera.source == "assumed"


def test_no_hand_gives_an_empty_list(predictor):
    assert predictor(np.zeros((48, 64, 3), np.uint8)) == []


def test_given_joints_need_no_detector(example_image, joints):
    (hand,) = Predictor.from_pretrained("fit")(example_image, keypoints=joints, sides=["right"])
    assert (hand.keypoint_source, hand.bbox_source) == ("given", "given")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"K": np.diag([0.0, 600.0, 1.0])}, "K is no pinhole camera"),
        ({"boxes": np.array([[700.0, 10.0, 900.0, 200.0]])}, "outside of the image"),
        ({"boxes": np.array([[10.0, 10.0, 100.0, 100.0]]), "sides": ["right", "left"]}, "1 boxes, but 2 sides"),
        ({"keypoints": np.zeros((1, 21, 2))}, "Give 'right' or 'left' for each"),
        ({"keypoints": np.zeros((1, 20, 2)), "sides": ["right"]}, r"expected \(hands, 21, 2\)"),
        ({"keypoints": np.full((1, 21, 2), 9000.0), "sides": ["right"]}, "no known joint lies in the image"),
        ({"keypoints": np.linspace(0, 1, 42).reshape(1, 21, 2), "sides": ["right"]}, "within 0..1, expected pixels"),
    ],
)
def test_what_cannot_be_used_is_refused(predictor, example_image, given, message):
    with pytest.raises(ValueError, match=message):
        predictor(example_image, **given)


@pytest.mark.parametrize("image", [np.zeros((48, 64)), np.zeros((48, 64, 3)), np.zeros((48, 64, 4), np.uint8)])
def test_arrays_that_are_no_pictures_are_refused(predictor, image):
    with pytest.raises(ValueError, match="expected a file or a uint8 array of height x width x 3, RGB"):
        predictor(image)


def test_boxes_of_a_detector_may_be_float32(predictor, example_hand, example_image):
    rounded = replace(example_hand, bbox_xyxy=example_hand.bbox_xyxy.astype(np.float32))
    for side in ("right", "left"):
        found, expected = (
            Predictor.from_pretrained("handgcat-open-s")(example_image, keypoints=[replace(hand, side=side)], K=K)[0]
            for hand in (rounded, example_hand)
        )
        np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-4)


def test_hands_without_joints_are_none_for_the_fit(predictor, example_hand, example_image):
    with pytest.raises(ValueError, match="The fit takes 2D joints with every hand"):
        predictor(example_image, keypoints=[example_hand, replace(example_hand, keypoints=None)])


def test_joints_as_nested_lists_are_taken(predictor, joints, example_image):
    (by_list,) = predictor(example_image, keypoints=joints.tolist(), sides=["right"], K=K)
    (by_array,) = predictor(example_image, keypoints=joints, sides=["right"], K=K)
    np.testing.assert_array_equal(by_list.vertices, by_array.vertices)


def test_unknown_models_list_the_near_ones():
    with pytest.raises(ValueError, match="Did you mean 'fit'"):
        Predictor.from_pretrained("fitt")


@pytest.mark.parametrize("sides", [["right"], [], [None]])
def test_sides_alone_are_refused(predictor, example_image, sides):
    with pytest.raises(ValueError, match=r"Sides were given without the hands.*Give a box or joints for each, or leave sides out"):
        predictor(example_image, sides=sides)


@pytest.mark.parametrize("model", ["fit", "handgcat-open-s", "handoccnet-open-s"])
def test_joints_of_a_hand_cut_by_the_border_are_enough(example_image, joints, model):
    left = joints[..., 0].copy()
    cut = joints - np.array([np.nanquantile(left, 0.8), 0.0])  # most joints lie left of the picture, and so does the middle of their box
    assert np.nanmin(cut[..., 0]) + np.nanmax(cut[..., 0]) < 0
    (hand,) = Predictor.from_pretrained(model)(example_image, keypoints=cut, sides=["right"], K=K)
    assert np.isfinite(hand.vertices).all()
    with pytest.raises(ValueError, match="outside of the image"):
        Predictor.from_pretrained(model)(example_image, keypoints=cut, sides=["right"], boxes=np.array([[-90.0, 0.0, 40.0, 90.0]]), K=K)


class AnyHands:
    """Another hand of random numbers for each view; no mesh of them is a hand."""

    keypoint_need = "none"

    def __init__(self):
        self.hand = load_hand()

    def __call__(self, views):
        shapes = ((16, 3, 3), (10,), (3,), (778, 3), (21, 3))
        rotations, betas, translation, vertices, joints = (torch.rand(len(views), *shape) + 0.1 for shape in shapes)
        points = [Keypoints2D(np.random.default_rng(k).random((21, 2)) * 90, np.arange(21) / 20, "handoccnet") for k in range(len(views))]
        said = [f"hand {k}" for k in range(len(views))]
        sigma, visibility = torch.rand(2, len(views), 21)
        self.said = Estimate(rotations, betas, translation, vertices, joints, points, said, sigma, visibility)
        return self.said


@pytest.fixture
def two_hands():
    """A right and a left hand, and the estimate that they were made of."""
    torch.manual_seed(0)
    estimator = AnyHands()
    camera = Camera(np.array([[90.0, 0.0, 50.0], [0.0, 80.0, 30.0], [0.0, 0.0, 1.0]]), 60, 100, "assumed")
    found = [
        DetectedHand(np.array([5.0, 6.0, 45.0, 56.0]), "right", 0.75, bbox_source="file"),
        DetectedHand(np.array([50.0, 6.0, 95.0, 57.0]), "left", 0.5),
    ]
    return Predictor(estimator).reconstruct([np.zeros((60, 100, 3), np.uint8)] * 2, found, camera), found, estimator.said


def test_every_number_of_a_hand_is_its_own_and_a_left_one_is_mirrored(two_hands):
    hands, found, said = two_hands
    turn = np.array([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    for k, hand in enumerate(hands):
        mirror, turned = (np.ones(3), np.ones((3, 3))) if k == 0 else (np.array([-1.0, 1.0, 1.0]), turn)
        for name, signs in (("vertices", mirror), ("joints", mirror), ("translation", mirror), ("rotations", turned), ("betas", 1.0)):
            np.testing.assert_array_equal(getattr(hand, name), getattr(said, name)[k].double().numpy() * signs)
        for name in ("joint_sigma", "joint_visibility"):
            np.testing.assert_array_equal(getattr(hand, name), getattr(said, name)[k].double().numpy())
        joints_img = said.keypoints[k].joints_img
        np.testing.assert_allclose(hand.keypoints, joints_img if k == 0 else joints_img * (-1, 1) + (99, 0), rtol=1e-12)
        np.testing.assert_array_equal(hand.keypoint_weights, said.keypoints[k].weights)
        np.testing.assert_array_equal(hand.bbox_xyxy, found[k].bbox_xyxy)
        assert (hand.side, hand.score, hand.bbox_source) == (found[k].side, found[k].score, found[k].bbox_source)
        assert (hand.keypoint_source, hand.estimator, hand.hand_model) == ("handoccnet", f"hand {k}", "open")


def test_a_result_holds_what_the_hands_hold(two_hands):
    hands, *_ = two_hands
    record = result_record("a.png", hands[0].camera, hands, [["a.obj"], ["b.obj"]])
    assert record["image"] == {"file": "a.png", "height": 60, "width": 100}
    assert record["camera"] == {"K": hands[0].camera.K.tolist(), "assumed": True}
    for hand, said, file in zip(hands, record["hands"], ("a.obj", "b.obj"), strict=True):
        pixels = hand.joints[:, :2] / hand.joints[:, 2:] * (90.0, 80.0) + (50.0, 30.0)
        for name, values, digits in (
            ("joints", hand.joints, 6),
            ("joints_img", pixels, 2),
            ("rotations", hand.rotations, 6),
            ("betas", hand.betas, 4),
            ("translation", hand.translation, 6),
            ("joint_sigma", hand.joint_sigma, 6),
            ("joint_visibility", hand.joint_visibility, 4),
        ):
            np.testing.assert_allclose(said[name], values, rtol=0, atol=0.51 * 10.0**-digits)
        assert said["bbox"] == {"xyxy": hand.bbox_xyxy.tolist(), "source": hand.bbox_source}
        assert said["keypoints"]["source"] == "handoccnet"
        np.testing.assert_allclose(said["keypoints"]["joints_img"], hand.keypoints, rtol=0, atol=0.0051)
        np.testing.assert_array_equal(said["keypoints"]["weights"], hand.keypoint_weights)
        assert (said["side"], said["score"], said["estimator"], said["mesh_files"]) == (hand.side, hand.score, hand.estimator, [file])
        error = np.linalg.norm(pixels - hand.keypoints, axis=1)[1:].mean()  # the wrist has no weight
        assert said["reprojection_error_px"] == pytest.approx(error, abs=5.1e-4)


def test_a_drawing_shows_sides_at_their_boxes_and_joints_without_weight_as_hidden(two_hands, monkeypatch):
    hands, *_ = two_hands
    labels, hidden, meshes = [], [], []
    monkeypatch.setattr("occhand.render.draw.overlay", lambda picture, drawn, K: meshes.extend(drawn) or picture)
    monkeypatch.setattr("occhand.render.draw.draw_joints", lambda picture, joints, unseen: hidden.append((joints, unseen)) or picture)
    monkeypatch.setattr("occhand.render.draw.draw_label", lambda picture, text, at=None: labels.append((text, at)) or picture)
    draw_hands(np.zeros((60, 100, 3), np.uint8), hands)
    assert labels == [("right", (5.0, 6.0)), ("left", (50.0, 6.0)), ("camera assumed: distance is a guess", (0.0, 60.0))]
    assert meshes[0].colour != meshes[1].colour
    for hand, mesh, (joints, unseen) in zip(hands, meshes, hidden, strict=True):
        assert mesh.vertices_cam is hand.vertices
        assert mesh.faces is hand.faces
        assert joints is hand.keypoints
        np.testing.assert_array_equal(unseen, np.arange(21) < 1)


IN_BOX = ("given", 0.9, "mediapipe")
BY_BOX = ("given", 1.0, None)


@pytest.mark.parametrize(
    ("need", "sides", "looks", "expected"),
    [
        ("none", ["left", "left"], 0, [("left", *BY_BOX)] * 2),
        ("none", ["left", None], 1, [("left", *BY_BOX)]),
        ("none", [None, None], 2, [("right", *IN_BOX)]),
        ("preferred", ["left", "left"], 2, [("left", *IN_BOX), ("left", *BY_BOX)]),
        ("preferred", [None, None], 2, [("right", *IN_BOX)]),
        ("required", ["left", "left"], 2, [("left", *IN_BOX)]),
    ],
)
def test_joints_are_sought_in_a_box_for_the_estimator_or_for_the_side(stand_in, example_image, example_hand, need, sides, looks, expected):
    """The first box holds the hand, the second one nothing."""
    places = []
    seek = stand_in.find_joints
    stand_in.find_joints = lambda image, box, side: places.append(box) or seek(image, box, side)
    estimator = AnyHands()
    estimator.keypoint_need = need
    boxes = np.stack([example_hand.bbox_xyxy, [600.0, 440.0, 639.0, 479.0]])
    hands = Predictor(estimator, stand_in, stand_in).find_hands(example_image, boxes, sides)
    assert [(hand.side, hand.bbox_source, hand.score, hand.keypoints and hand.keypoints.source) for hand in hands] == expected
    assert len(places) == looks


@pytest.mark.parametrize(
    ("need", "looks", "joints"), [("none", 0, [False, False]), ("preferred", 2, [True, False]), ("required", 2, [True])]
)
def test_a_detector_of_boxes_alone_is_helped_out_with_joints(stand_in, example_image, example_hand, need, looks, joints):
    class Boxes:
        def detect(self, image):
            corner = np.array([600.0, 440.0, 639.0, 479.0])
            return [DetectedHand(example_hand.bbox_xyxy, "left", 0.8), DetectedHand(corner, "left", 0.7)]

    places = []
    seek = stand_in.find_joints
    stand_in.find_joints = lambda image, box, side: places.append(side) or seek(image, box, side)
    estimator = AnyHands()
    estimator.keypoint_need = need
    hands = Predictor(estimator, Boxes(), stand_in).find_hands(example_image)
    assert [hand.keypoints is not None for hand in hands] == joints
    assert [(hand.side, hand.score) for hand in hands] == [("left", 0.8), ("left", 0.7)][: len(hands)]
    assert places == ["left"] * looks


def test_what_the_caller_gives_stands_and_mediapipe_is_the_rest(stand_in, example_hand, monkeypatch):
    mediapipe = type(stand_in)(example_hand)
    monkeypatch.setattr(MediaPipeHands, "load", lambda: mediapipe)
    for detector in (stand_in, None):
        for keypointer in (stand_in, None):
            predictor = Predictor(AnyHands(), detector, keypointer)
            assert predictor.detector is (detector or mediapipe)
            assert predictor.keypointer is (keypointer or mediapipe)
