"""The logic around the landmark network with a fake one, and the real one where it is installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import numpy as np
import pytest

from occhand.detect import Detector, Follower, Keypointer
from occhand.detect.landmarker import Landmarks
from occhand.detect.landmarker_file import ENVIRONMENT_VARIABLE, cached_landmarker_file
from occhand.detect.mediapipe import OUTSIDE_WEIGHT, MediaPipeHands, Networks
from occhand.detect.modes import overlap
from occhand.detect.window import Window, WindowCutter

HAND = np.array(
    [(0, 9), (-3, 7), (-5, 5), (-6, 3), (-7, 1)]
    + [(x, y) for x, top in ((-3, -7), (-1, -8), (1, -7), (3, -5)) for y in np.linspace(1, top, 4)]
)  # fmt: skip
"""An open right hand, back to the viewer, in units of a tenth of its size."""


MAP = np.zeros((240, 252, 3), dtype=np.uint8)
"""A picture whose colours say where they are: red is x, green is y. So a fake network knows which window it is shown."""
MAP[..., 0], MAP[..., 1], MAP[..., 2] = np.arange(252), np.arange(240)[:, None], 255

RIGHT = (HAND * 5.0 + np.array([70, 80]), True)
LEFT = (HAND[:, ::-1] * 5.0 + np.array([180, 150]), False)


class _Network:
    """Knows where hands are. `palms`: gives all in the window; else the one nearest to its middle, or something without presence."""

    def __init__(self, hands: list[tuple[np.ndarray, bool]], palms: bool = False, presence: bool = False) -> None:
        self.hands, self.palms, self.presence = hands, palms, presence

    def __call__(self, picture: np.ndarray) -> list[Landmarks]:
        nothing = Landmarks(0.5 + HAND * 0.02, np.zeros((21, 3)), 0.01 if self.presence else 0.5)
        rows, columns = np.nonzero(picture[..., 2] == 255)
        if len(rows) < 50:
            return [] if self.palms else [nothing]
        unit = np.stack([columns + 0.5, rows + 0.5, np.full(len(rows), len(picture))], axis=1) / len(picture)
        img_from_unit = np.linalg.lstsq(unit, picture[rows, columns, :2] + 0.5, rcond=None)[0]  # Pillow truncates
        found = []
        for joints_img, is_right in self.hands:
            joints = (joints_img - img_from_unit[2]) @ np.linalg.inv(img_from_unit[:2])
            world = np.concatenate([joints - joints.mean(axis=0), np.zeros((21, 1))], axis=1)
            if joints.min() > 0 and joints.max() < 1:
                found.append(Landmarks(joints, world, 0.9 if self.presence or is_right else 0.1))
        found.sort(key=lambda hand: float(np.linalg.norm(hand.joints.mean(axis=0) - 0.5)))
        return found if self.palms else [*found, nothing][:1]


def _hands(
    known: list[tuple[np.ndarray, bool]], tile_fractions: tuple[float, ...] = (1.0, 0.5), blind: bool = False, copies: int = 1
) -> MediaPipeHands:
    networks = Networks(_Network([] if blind else known, palms=True), _Network(known, presence=True))
    return MediaPipeHands([networks] * copies, _Network(known), tile_fractions)


def test_it_is_a_detector_and_a_keypointer() -> None:
    assert isinstance(_hands([]), Detector)
    assert isinstance(_hands([]), Keypointer)


def test_every_hand_is_found_once_at_its_place_with_its_side() -> None:
    found = _hands([RIGHT, LEFT]).detect(MAP)
    assert sorted(hand.side for hand in found) == ["left", "right"]
    for hand in found:
        truth = RIGHT[0] if hand.side == "right" else LEFT[0]
        assert hand.keypoints is not None
        assert np.abs(hand.keypoints.joints_img - truth).max() < 0.1
        assert hand.score == pytest.approx(0.81)
        assert hand.keypoints.source == "mediapipe"
        assert (hand.keypoints.weights == 1).all()
        np.testing.assert_allclose(hand.bbox_xyxy, [*truth.min(axis=0), *truth.max(axis=0)], atol=0.1)


def test_world_joints_are_turned_back_into_the_image() -> None:
    (hand,) = _hands([LEFT]).detect(MAP)  # it lies on its side: the landmark network sees it turned upright
    assert hand.keypoints is not None
    assert hand.keypoints.joints_world is not None
    world = hand.keypoints.joints_world[:, :2] - hand.keypoints.joints_world[:, :2].mean(axis=0)
    flat = LEFT[0] - LEFT[0].mean(axis=0)
    scale = (world * flat).sum() / (world * world).sum()
    assert np.abs(world * scale - flat).max() < 0.5


def test_no_hand() -> None:
    assert _hands([]).detect(np.zeros((200, 300, 3), dtype=np.uint8)) == []
    assert _hands([]).find_joints(np.zeros((200, 300, 3), dtype=np.uint8), np.array([10.0, 10, 90, 90])) is None


def test_search_finds_what_the_palm_network_does_not_see() -> None:
    (found,) = _hands([RIGHT], tile_fractions=(1.0,), blind=True).detect(MAP)
    assert found.keypoints is not None
    assert np.abs(found.keypoints.joints_img - RIGHT[0]).max() < 0.1
    assert _hands([RIGHT], tile_fractions=(), blind=True).detect(MAP) == []


def test_joints_inside_a_box() -> None:
    hands = _hands([RIGHT, LEFT])
    for joints, side in ((RIGHT[0], "right"), (LEFT[0], "left")):
        box = np.concatenate([joints.min(axis=0) + 5, joints.max(axis=0) - 5])
        hit = hands.find_joints(MAP, box)
        assert hit is not None
        assert hit[0] == side
        assert np.abs(hit[1].joints_img - joints).max() < 0.1
        assert overlap(box, np.concatenate([hit[1].joints_img.min(axis=0), hit[1].joints_img.max(axis=0)])) > 0.7


@pytest.mark.parametrize("blind", [False, True])
def test_copies_of_the_networks_share_the_work_and_find_the_same(blind: bool) -> None:
    alone, shared = (_hands([RIGHT, LEFT], blind=blind, copies=copies).detect(MAP) for copies in (1, 3))
    assert len(alone) == 2
    for one, other in zip(alone, shared, strict=True):
        assert one.keypoints is not None
        assert other.keypoints is not None
        np.testing.assert_array_equal(one.keypoints.joints_img, other.keypoints.joints_img)
        assert (one.score, one.side) == (other.score, other.side)


def test_what_one_copy_meets_stops_all() -> None:
    def broken(picture: np.ndarray) -> list[Landmarks]:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        MediaPipeHands([Networks(broken, broken)] * 2, broken).detect(MAP)


def test_the_side_given_wins() -> None:
    box = np.concatenate([RIGHT[0].min(axis=0), RIGHT[0].max(axis=0)])
    hit = _hands([RIGHT]).find_joints(MAP, box, "left")
    assert hit is not None
    assert hit[0] == "left"
    assert np.abs(hit[1].joints_img - RIGHT[0]).max() < 0.1


def test_joints_outside_of_the_image_count_less() -> None:
    joints = HAND * 5.0 + np.array([225, 80])  # two fingers reach over the right border

    def network(picture: np.ndarray) -> list[Landmarks]:
        return [Landmarks(0.5 + HAND * 0.04, np.zeros((21, 3)), 0.9)]

    hit = MediaPipeHands([Networks(network, network)], network).find_joints(MAP, np.concatenate([joints.min(axis=0), joints.max(axis=0)]))
    assert hit is not None
    is_inside = (hit[1].joints_img <= (251.5, 239.5)).all(axis=1)
    assert 0 < is_inside.sum() < 21
    np.testing.assert_array_equal(hit[1].weights, np.where(is_inside, 1.0, OUTSIDE_WEIGHT))


See = Callable[[Window], tuple[np.ndarray, float, float]]
"""What the landmark network sees in a window: joints in the image, presence, and that it is a right hand."""


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> Callable[..., MediaPipeHands]:
    """Networks that are shown windows as they are, not pictures of them."""
    monkeypatch.setattr(WindowCutter, "cut", lambda cutter, window, size: window)

    def landmarks(window: Window, joints_img: np.ndarray, score: float) -> Landmarks:
        return Landmarks((joints_img - window.center) @ window.rotation / window.side_px + 0.5, np.zeros((21, 3)), score)

    def make(see: See, palms: tuple[np.ndarray, ...] = ()) -> MediaPipeHands:
        def find(window: Window) -> list[Landmarks]:
            return [landmarks(window, joints, 1.0) for joints in palms]

        def presence(window: Window) -> list[Landmarks]:
            joints, score, _ = see(window)
            return [landmarks(window, joints, score)]

        def read(window: Window) -> list[Landmarks]:
            joints, _, score = see(window)
            return [landmarks(window, joints, score)]

        return MediaPipeHands([Networks(find, presence)], read, (1.0,))  # type: ignore[arg-type]

    return make


def nearest(*hands: tuple[np.ndarray, float, float]) -> See:
    return lambda window: min(hands, key=lambda hand: float(np.linalg.norm(hand[0].mean(axis=0) - window.center)))


def test_of_what_the_palm_network_sees_only_the_sure_count_and_the_surest_come_first(sees: Callable[..., MediaPipeHands]) -> None:
    small = HAND * 2.0 + np.array([220, 40])
    hands = (LEFT[0], 0.95, 0.2), (RIGHT[0], 0.9, 0.95), (small, 0.9, 0.6)
    found = sees(nearest(*hands), tuple(joints for joints, *_ in hands)).glance(MAP)
    assert [(hand.side, hand.score) for hand in found] == [("right", pytest.approx(0.855)), ("left", pytest.approx(0.76))]


def test_what_the_search_finds_is_sorted_by_score_not_by_trust(sees: Callable[..., MediaPipeHands]) -> None:
    hands = (RIGHT[0], 0.95, 0.6), (LEFT[0], 0.9, 0.05)

    def see(window: Window) -> tuple[np.ndarray, float, float]:
        return hands[window.angle > 3.0] if window.side_px == 240.0 else nearest(*hands)(window)

    found = sees(see).detect(MAP)
    assert [(hand.side, hand.score) for hand in found] == [("left", pytest.approx(0.855)), ("right", pytest.approx(0.57))]


@pytest.mark.parametrize("count", [1, 2])
def test_a_lone_answer_of_the_search_is_chance(sees: Callable[..., MediaPipeHands], count: int) -> None:
    """The tile is laid twice over the picture, which is a little wider than high."""

    def see(window: Window) -> tuple[np.ndarray, float, float]:
        is_seen = window.side_px != 240.0 or (window.angle == 0.0 and window.center[0] < 60 + 70 * count)
        return RIGHT[0], 0.9 if is_seen else 0.0, 0.9

    assert len(sees(see).detect(MAP)) == count - 1


@pytest.mark.parametrize("is_found_by_palms", [True, False])
def test_two_views_of_one_hand_are_one(sees: Callable[..., MediaPipeHands], is_found_by_palms: bool) -> None:
    """They lie a fifth of the hand's size apart: more than readings that agree do."""
    hands = (RIGHT[0], 0.9, 0.9), (RIGHT[0] + np.array([17.0, 0.0]), 0.8, 0.9)

    def see(window: Window) -> tuple[np.ndarray, float, float]:
        return hands[window.angle > 3.0] if window.side_px == 240.0 else nearest(*hands)(window)

    palms = tuple(joints for joints, *_ in hands) if is_found_by_palms else ()
    (found,) = sees(see, palms).detect(MAP)
    np.testing.assert_allclose(found.bbox_xyxy[:2], RIGHT[0].min(axis=0))


def test_in_a_box_a_faint_hand_is_seen_and_none_beside_it(sees: Callable[..., MediaPipeHands]) -> None:
    box = np.concatenate([RIGHT[0].min(axis=0), RIGHT[0].max(axis=0)])
    for presence, is_seen in ((0.25, True), (0.15, False)):
        assert (sees(nearest((RIGHT[0], presence, 0.9))).find_joints(MAP, box) is not None) == is_seen
    assert sees(nearest((LEFT[0], 0.9, 0.1))).find_joints(MAP, box) is None


def test_of_two_hands_in_a_box_that_of_the_side_given_is_taken(sees: Callable[..., MediaPipeHands]) -> None:
    beside = LEFT[0] - np.array([85, 60])
    hands = (RIGHT[0], 0.9, 0.9), (beside, 0.8, 0.1)
    joints = np.concatenate([RIGHT[0], beside])
    box = np.concatenate([joints.min(axis=0), joints.max(axis=0)])
    middle = tuple((box[:2] + box[2:]) / 2)

    def see(window: Window) -> tuple[np.ndarray, float, float]:
        return hands[window.angle > 3.0] if window.center == middle else nearest(*hands)(window)

    for side, expected in ((None, RIGHT[0]), ("right", RIGHT[0]), ("left", beside)):
        hit = sees(see).find_joints(MAP, box, side)
        assert hit is not None
        np.testing.assert_allclose(hit[1].joints_img, expected, atol=1e-9)


def test_the_outer_half_of_the_border_pixels_is_inside(sees: Callable[..., MediaPipeHands]) -> None:
    joints = HAND * 5.0 + np.array([120, 100])
    joints[:8] = (-0.49, 99), (-0.51, 99), (251.49, 99), (251.51, 99), (99, -0.49), (99, -0.51), (99, 239.49), (99, 239.51)
    hit = sees(nearest((joints, 0.9, 0.9))).follow(MAP, joints)
    assert hit is not None
    np.testing.assert_array_equal(hit.weights, [1.0, OUTSIDE_WEIGHT] * 4 + [1.0] * 13)


def _missing() -> str | None:
    if importlib.util.find_spec("mediapipe") is None:
        return "needs the [detect] extra"
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if not (named or cached_landmarker_file().is_file()):
        return f"needs the model file: set {ENVIRONMENT_VARIABLE}, or run the detector once"
    return None


@pytest.fixture(scope="module")
def network() -> MediaPipeHands:
    return MediaPipeHands.load()


@pytest.mark.detect
@pytest.mark.skipif(_missing() is not None, reason=str(_missing()))
class TestReal:
    def test_quiet_and_no_hand_in_a_plain_picture(self, capfd: pytest.CaptureFixture[str]) -> None:
        hands = MediaPipeHands.load(tile_fractions=())
        assert hands.detect(np.full((240, 320, 3), 127, dtype=np.uint8)) == []
        assert capfd.readouterr().err == ""

    def test_the_aimed_network_sees_exactly_the_window(self, network: MediaPipeHands) -> None:
        """A picture turned in steps of 90 degrees and read in windows turned alike gives the same joints, turned."""
        rng = np.random.default_rng(0)
        image = np.kron(rng.integers(0, 255, (14, 14, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        upright = network._copies[0].look(WindowCutter(image), Window((111.5, 111.5), 224.0))
        turned = network._copies[0].look(WindowCutter(np.ascontiguousarray(np.rot90(image))), Window((111.5, 111.5), 224.0, -np.pi / 2))
        back = (turned.joints_img - 111.5) @ Window((0.0, 0.0), 1.0, np.pi / 2).rotation.T + 111.5
        assert upright.presence == pytest.approx(turned.presence, abs=0.02)
        assert np.abs(back - upright.joints_img).max() < 3.0


def test_follows_a_hand_that_moved_a_little_and_loses_one_that_is_gone():
    hands = _hands([RIGHT])
    seen = hands.follow(MAP, RIGHT[0] + 1.0)
    assert seen is not None
    np.testing.assert_allclose(seen.joints_img, RIGHT[0], atol=0.6)
    assert hands.follow(MAP, LEFT[0] + 300.0) is None
    assert isinstance(hands, Follower)
