"""Numbers and sides of hands through time, with hands that are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from occhand.detect import DetectedHand, Keypoints2D
from occhand.video.track import MEMORY_S, HandTracker, assign

PICTURE = np.zeros((240, 320, 3), np.uint8)
SHAPE = np.stack([np.tile([-20.0, -10.0, 0.0, 10.0, 20.0], 5)[:21], np.repeat([20.0, 5.0, -10.0, -20.0, -30.0], 5)[:21]], axis=1)
FPS = 30


def points(x, y=120.0, score=0.9, shift=0.0):
    return Keypoints2D(SHAPE + np.array([x, y]) + shift, np.ones(21), "mediapipe", score)


class Stage:
    """Hands of a frame by their places; a follower that takes the nearest one, whichever it is."""

    def __init__(self, follows=True):
        self.hands: list[tuple[str, Keypoints2D]] = []
        self.searches = 0
        self.says = {}

    def detect(self, image):
        self.searches += 1
        return [
            DetectedHand(np.concatenate([p.joints_img.min(0), p.joints_img.max(0)]), self.says.get(side, side), p.score, p)
            for side, p in self.hands
        ]

    def glance(self, image):
        return self.detect(image)

    def follow(self, image, joints_img):
        near = sorted(self.hands, key=lambda hand: np.abs(hand[1].joints_img - joints_img).mean())
        return near[0][1] if near and np.abs(near[0][1].joints_img - joints_img).mean() < 30 else None


def play(tracker, stage, script):
    """The tracks of each frame, as {number: (side, x)}."""
    rows = []
    for k, hands in enumerate(script):
        stage.hands = hands
        tracked = tracker.step(PICTURE, k / FPS)
        rows.append({hand.track: (hand.hand.side, float(hand.hand.keypoints.joints_img[:, 0].mean())) for hand in tracked})
    return rows


def test_a_hand_keeps_number_and_side_and_is_searched_for_rarely():
    stage = Stage()
    rows = play(HandTracker(stage, stage), stage, [[("left", points(60 + 2 * k))] for k in range(90)])
    assert [list(row) for row in rows] == [[0]] * 90
    assert {row[0][0] for row in rows} == {"left"}
    assert stage.searches <= 4


def test_hands_enter_and_leave():
    stage = Stage()
    script = [[("right", points(100))] + ([("left", points(220))] if 20 <= k < 60 else []) for k in range(180)]
    rows = play(HandTracker(stage, stage), stage, script)
    assert [len(row) for row in (rows[10], rows[55], rows[65])] == [1, 2, 1]
    assert all(list(row) == sorted(row) for row in rows)
    first = next(k for k, row in enumerate(rows) if len(row) == 2)
    assert first <= 20 + FPS + 1  # within a second


def test_a_hand_out_of_the_picture_has_left():
    stage = Stage()
    rows = play(HandTracker(stage, stage), stage, [[("right", points(200 + 4.0 * k))] for k in range(60)])
    assert rows[10]
    assert not rows[40]


def test_a_short_loss_keeps_the_number_and_a_long_one_does_not():
    for gap, number in ((20, 0), (round(MEMORY_S * FPS) + 15, 1)):
        stage = Stage()
        script = [[] if 30 <= k < 30 + gap else [("right", points(100 + 0.5 * k))] for k in range(60 + gap)]
        rows = play(HandTracker(stage, stage), stage, script)
        assert list(rows[29]) == [0]
        assert not rows[35]
        assert list(rows[-1]) == [number]


def test_a_hand_is_looked_for_where_it_moves_to_and_not_beyond_a_moment():
    class Asked(Stage):
        def __init__(self):
            super().__init__()
            self.places = []

        def follow(self, image, joints_img):
            self.places.append(float(joints_img[:, 0].mean() - SHAPE[:, 0].mean()))
            return super().follow(image, joints_img)

    stage = Asked()
    play(HandTracker(stage, stage), stage, [[("right", points(60 + 5 * k))] if k < 20 else [] for k in range(50)])
    assert stage.places[18] == pytest.approx(60 + 5 * 19, abs=0.1)  # the first frame is searched
    assert max(stage.places) == stage.places[-1] == pytest.approx(60 + 5 * 19 + 5 * FPS * 0.2, abs=0.1)


def test_a_doubtful_or_doubled_hand_begins_no_track_and_a_box_holds_what_was_seen():
    stage = Stage()
    seen = replace(points(100), weights=np.where(np.arange(21) < 20, 1.0, 0.0))
    seen.joints_img[20] = 310.0
    stage.hands = [("left", points(220, score=0.55)), ("right", seen), ("left", replace(seen, score=0.8))]
    (tracked,) = HandTracker(stage, stage).step(PICTURE, 0.0)
    assert (tracked.hand.side, tracked.hand.score, tracked.hand.bbox_source) == ("right", 0.9, "mediapipe")
    np.testing.assert_array_equal(tracked.hand.bbox_xyxy, [*seen.joints_img[:20].min(0), *seen.joints_img[:20].max(0)])


def test_low_confidence_is_a_loss():
    stage = Stage()
    script = [[("right", points(100, score=0.9 if k < 10 or k > 20 else 0.3))] for k in range(30)]
    rows = play(HandTracker(stage, stage), stage, script)
    assert list(rows[9]) == [0]
    assert not rows[12]
    assert list(rows[29]) == [0]


def crossing(hidden):
    """Right goes right, left goes left; while they overlap only one of them is seen."""
    script = []
    for k in range(90):
        a, b = ("right", points(60 + 2.2 * k)), ("left", points(258 - 2.2 * k, shift=3.0))
        is_near = abs((60 + 2.2 * k) - (258 - 2.2 * k)) < 45
        script.append([pair for pair in (a, b) if not (is_near and pair[0] == hidden)])
    return script


@pytest.mark.parametrize("hidden", ["left", "right", "none"])
@pytest.mark.parametrize("follows", [True, False])
def test_crossing_hands_are_not_swapped_for_good(hidden, follows):
    stage = Stage()
    rows = play(HandTracker(stage, stage if follows else None), stage, crossing(hidden))
    assert {number: side for number, (side, _) in rows[5].items()} == {0: "right", 1: "left"}
    assert rows[-1][0][1] > 200
    assert rows[-1][1][1] < 120
    assert set(rows[-1]) == {0, 1}


def test_two_right_hands_are_two_tracks():
    stage = Stage()
    rows = play(HandTracker(stage, stage), stage, [[("right", points(60)), ("right", points(250)), ("left", points(150))]] * 40)
    assert [side for side, _ in rows[-1].values()] == ["right", "right", "left"]
    assert set(rows[0]) == set(rows[-1])


def test_one_wrong_word_on_the_side_changes_nothing_and_many_begin_a_new_track():
    stage = Stage()
    tracker = HandTracker(stage, None)
    stage.says = {"right": "left"}
    wrong_first = play(tracker, stage, [[("right", points(100))]] * 1)
    stage.says = {}
    rows = play(tracker, stage, [[]] + [[("right", points(100))]] * 10)
    assert wrong_first[0][0][0] == "left"
    assert list(rows[-1]) == [1]
    assert rows[-1][1][0] == "right"
    stage.says = {"right": "left"}
    stage.hands = [("right", points(100))]
    assert tracker.step(PICTURE, 1.0)[0].track == 1


def test_the_state_goes_through_json():
    stage = Stage()
    script = crossing("left")
    whole = HandTracker(stage, stage)
    expected = play(whole, stage, script)
    first, second = HandTracker(stage, stage), HandTracker(stage, stage)
    play(first, stage, script[:40])
    second.restore(json.loads(json.dumps(first.state())))
    for k in range(40, 90):
        stage.hands = script[k]
        tracked = second.step(PICTURE, k / FPS)
        assert {hand.track: (hand.hand.side, float(hand.hand.keypoints.joints_img[:, 0].mean())) for hand in tracked} == expected[k]


def test_assignment_is_the_cheapest():
    rng = np.random.default_rng(0)
    for shape in ((3, 3), (2, 4), (5, 3), (12, 11)):
        cost = rng.random(shape)
        pairs = assign(cost.tolist())
        rows, columns = linear_sum_assignment(cost)
        assert len(pairs) == min(shape)
        if max(shape) <= 10:
            assert sum(cost[row, column] for row, column in pairs.items()) == pytest.approx(cost[rows, columns].sum())
    assert assign([]) == {}
    assert assign([[float("inf"), 1.0], [float("inf"), 0.5]]) == {1: 1}


def test_long_looks_are_taken_only_while_no_hand_is_known():
    class Far(Stage):
        """A hand that no glance finds."""

        looks = 0

        def detect(self, image):
            self.looks += 1
            return super().detect(image)

        def glance(self, image):
            return []

    stage = Far()
    play(HandTracker(stage, stage), stage, [[]] * 90)
    assert stage.looks == 3  # one a second
    rows = play(HandTracker(stage, stage), stage, [[("left", points(60 + k))] for k in range(90)])
    assert [list(row) for row in rows] == [[0]] * 90
    assert stage.looks == 4


@pytest.mark.parametrize(("step", "numbers"), [(35.0, [0]), (45.0, [])])
def test_a_hand_far_from_where_one_should_be_is_not_followed(step, numbers):
    """Hands here are 50 pixels large."""
    stage = Stage()
    tracker = HandTracker(stage, stage)
    play(tracker, stage, [[("right", points(100))]])
    stage.hands = [("right", points(100 + step))]
    assert [hand.track for hand in tracker.step(PICTURE, 0.1)] == numbers
    assert stage.searches == 1


@pytest.mark.parametrize(("x", "number"), [(108, 0), (122, 1)])
def test_of_two_tracks_that_follow_one_hand_the_nearer_has_it(x, number):
    stage = Stage()
    tracker = HandTracker(stage, stage)
    play(tracker, stage, [[("right", points(100)), ("left", points(130))]])
    stage.hands = [("right", points(x))]
    assert [hand.track for hand in tracker.step(PICTURE, 0.1)] == [number]
    assert stage.searches == 1


@pytest.mark.parametrize(("seconds", "way", "number"), [(0.1, 60, 0), (0.1, 70, 1), (1.0, 190, 0), (1.0, 210, 1)])
def test_a_found_hand_is_a_known_one_as_far_as_that_may_have_come(seconds, way, number):
    """One hand size, and three for every second."""
    stage = Stage()
    tracker = HandTracker(stage, None)
    play(tracker, stage, [[("right", points(60))]])
    stage.hands = [("right", points(60 + way))]
    assert [hand.track for hand in tracker.step(PICTURE, seconds)] == [number]


def test_a_lost_hand_is_expected_where_it_was_going():
    stage = Stage()
    tracker = HandTracker(stage, None)
    play(tracker, stage, [[("right", points(60 + 4 * k))] for k in range(21)])
    stage.hands = [("right", points(140 + 71))]  # 12 pixels on it is expected, and found within 65 of there
    assert [hand.track for hand in tracker.step(PICTURE, 20 / FPS + 0.1)] == [0]


@pytest.mark.parametrize(("said", "needed"), [(1, 3), (30, 6)])
def test_a_side_is_outvoted_sooner_or_later(said, needed):
    stage = Stage()
    tracker = HandTracker(stage, None)
    play(tracker, stage, [[("right", points(100, score=0.8))]] * said)
    stage.says = {"right": "left"}
    tracked = [tracker.step(PICTURE, 1.0 + k / FPS)[0] for k in range(needed)]
    assert [(hand.track, hand.hand.side) for hand in tracked] == [(0, "right")] * (needed - 1) + [(1, "left")]


@pytest.mark.parametrize(("score", "places"), [(0.7, [100, 150]), (0.9, [150, 100])])
def test_hands_have_swapped_where_both_sides_are_said_surely(score, places):
    stage = Stage()
    tracker = HandTracker(stage, None)
    play(tracker, stage, [[("right", points(100)), ("left", points(150))]])
    stage.hands = [("left", points(100, score=score)), ("right", points(150, score=score))]
    tracked = tracker.step(PICTURE, 0.1)
    assert [round(hand.hand.keypoints.joints_img[:, 0].mean() - SHAPE[:, 0].mean()) for hand in tracked] == places


@pytest.mark.parametrize(("later", "searches"), [("there", 2), ("lost", 4), ("never", 4)])
def test_the_frame_is_searched_more_often_while_a_hand_is_missing(later, searches):
    stage = Stage()
    tracker = HandTracker(stage, stage)
    for k in range(10):
        stage.hands = [("right", points(100))] if later == "there" or (later == "lost" and k == 0) else []
        tracker.step(PICTURE, k / 8)
    assert stage.searches == searches


def test_a_tracker_gone_on_with_searches_and_counts_as_the_one_before():
    stage = Stage()
    first, second = HandTracker(stage, stage), HandTracker(stage, stage)
    stage.hands = [("right", points(100))]
    first.step(PICTURE, 0.0)
    stage.hands = []
    first.step(PICTURE, 2.5)
    first.step(PICTURE, 2.9)
    assert first.state() == {"tracks": [], "next_number": 1, "searched": 2.9, "looked_long": 2.5}
    second.restore(first.state())
    searches = stage.searches
    stage.hands = [("right", points(100))]
    assert second.step(PICTURE, 3.0) == []
    assert stage.searches == searches
    assert [hand.track for hand in second.step(PICTURE, 3.3)] == [1]
    assert second.state()["looked_long"] == 2.5


@pytest.mark.parametrize(("x", "places"), [(148, {0: 148}), (100, {0: 100, 1: 150})])
def test_a_hand_that_the_search_gives_to_another_track_is_not_also_followed(x, places):
    class Faithful(Stage):
        """Follows every hand where it should be."""

        def follow(self, image, joints_img):
            return Keypoints2D(joints_img, np.ones(21), "mediapipe", 0.9)

    stage = Faithful()
    tracker = HandTracker(stage, stage)
    play(tracker, stage, [[("right", points(100)), ("left", points(150))]])
    stage.hands = [("right", points(x))]
    tracked = tracker.step(PICTURE, 1.0)
    assert stage.searches == 2
    middle = SHAPE[:, 0].mean()
    assert {hand.track: round(hand.hand.keypoints.joints_img[:, 0].mean() - middle) for hand in tracked} == places
