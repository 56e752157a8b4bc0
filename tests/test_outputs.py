"""What a user gives with an image, what becomes of it, and the files and lines that say so."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occhand.outputs import FoundHand, Given, Outcome, OutputOptions, complaints, predict_file, read_given, summary, write_outputs
from occhand.types import Camera
from tests.conftest import EXAMPLES

PHOTO, JOINTS = EXAMPLES / "rendered-hand.png", EXAMPLES / "rendered-hand.json"
K = [[600.0, 0.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]]


def test_boxes_joints_and_intrinsics_are_read_together(tmp_path):
    file = tmp_path / "boxes.JSON"
    file.write_text(json.dumps([{"side": "left", "bbox_xyxy": [1, 2, 30, 40]}]))
    typed = read_given(("1,2,30,40,left", "5,6,70,80"), None, "600,500,320,240", 1)
    listed = read_given((str(file),), None, "600,500,320,240", 1)
    jointed = read_given((), JOINTS, "600,500,320,240", 1)
    assert (typed.boxes.tolist(), typed.sides) == ([[1, 2, 30, 40], [5, 6, 70, 80]], ["left", None])
    assert (listed.boxes.tolist(), listed.sides) == ([[1, 2, 30, 40]], ["left"])
    assert (jointed.boxes, len(jointed.keypoints)) == (None, 1)
    for given in (typed, listed, jointed, read_given((), None, "600,500,320,240", 3)):
        assert given.K.tolist() == K
    assert read_given((), None, None, 3) == Given()


def test_what_cannot_be_given_together_is_refused():
    with pytest.raises(ValueError, match="Both boxes and joints"):
        read_given(("1,2,3,4",), JOINTS, None, 1)
    with pytest.raises(ValueError, match="belong to one image, but the run has 2"):
        read_given((), JOINTS, None, 2)
    with pytest.raises(ValueError, match="choose obj, ply, glb"):
        OutputOptions(("glb", "stl"))


@pytest.mark.parametrize(
    ("given", "need", "is_needed"),
    [
        (Given(), "optional", True),
        (Given(sides=["right", None]), "optional", True),
        (Given(sides=["right"]), "optional", False),
        (Given(sides=["right"]), "required", True),
        (Given(keypoints=[]), "required", False),
    ],
)
def test_a_detector_is_needed_for_what_is_not_given(given, need, is_needed, predictor, monkeypatch):
    monkeypatch.setattr(predictor.estimator, "keypoint_need", need)
    assert given.needs_detector(predictor) == is_needed


def test_an_outcome_is_what_its_record_tells():
    hands = (FoundHand("left", 0.25, True, "fit"), FoundHand("right", 0.5, True, "network"))
    outcome = Outcome(Path("a.png"), hands, (Path("a/result.json"), Path("a/overlay.png")))
    for each in (outcome, Outcome(Path("b.png"), error="Not a picture")):
        assert Outcome.from_record(json.loads(json.dumps(each.record()))) == each
    assert replace(outcome, hands=(hands[0]._replace(is_camera_assumed=False), hands[1])).record()["camera_assumed"]


def test_a_picture_that_memory_does_not_hold_is_one_line(predictor, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(type(predictor), "__call__", fail)
    outcome = predict_file(predictor, PHOTO, tmp_path / "out", Given(), OutputOptions())
    assert outcome.error == "Failed on this picture (MemoryError). Try it scaled down."
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("point", "is_doubted"), [("600,240", False), ("320,500", True), ("640,240", True)])
def test_a_principal_point_outside_of_the_picture_is_doubted(point, is_doubted, predictor, tmp_path, caplog):
    """Of 640 x 480 pixels."""
    given = read_given((), None, f"600,600,{point}", 1)
    assert predict_file(predictor, PHOTO, tmp_path / "out", given, OutputOptions(("ply",))).error is None
    assert ("Is K of this picture?" in caplog.text) == is_doubted


def test_each_hand_has_its_own_map_and_turntable_colour_and_all_files_are_named(predictor, example_image, tmp_path, monkeypatch):
    colours = []
    monkeypatch.setattr("occhand.render.gallery.turntable", lambda vertices, faces, colour: colours.append(colour) or [example_image] * 2)
    (hand,) = predictor(example_image)
    maps = [np.full((8, 8, 3), value, np.uint8) for value in (10, 200)]
    options = OutputOptions(("ply",), has_turntable=True, has_maps=True)
    folder = tmp_path / "out"
    files = write_outputs(folder, "a.png", example_image, Camera.assume(480, 640), [hand, hand], options, maps)
    assert files[0] == folder / "result.json"
    assert sorted(files) == sorted(folder.iterdir())
    assert [int(np.array(Image.open(folder / f"maps-hand{k}-right.png")).mean()) for k in (0, 1)] == [10, 200]
    assert len(set(map(tuple, colours))) == 2
    write_outputs(folder, "a.png", example_image, Camera.assume(480, 640), [hand], OutputOptions(("ply",)))
    assert {file.name for file in folder.iterdir()} == {"result.json", "overlay.png", "hand0-right.ply"}


def test_a_summary_counts_hands_images_and_makers():
    assumed, known = FoundHand("left", 0.25, True, "fit"), FoundHand("right", 0.5, False, "fit")
    written = (Path("out/a/result.json"), Path("out/a/overlay.png"))
    outcomes = [
        Outcome(Path("a.png"), (assumed, known), written),
        Outcome(Path("b.png"), (), written),
        Outcome(Path("c.png"), error="Broken"),
        Outcome(Path("d.png"), error="No such picture: d.png."),
    ]
    lines = summary(outcomes).splitlines()
    assert lines[:4] == ["a.png: left (0.25), right (0.50)", "  wrote 2 files to out/a", "b.png: no hand found", "  wrote 2 files to out/a"]
    assert lines[4] == "2 hands by fit."
    assert "camera was assumed" in lines[5]
    assert lines[6] == "4 images: 2 hands in 1, 2 could not be used."
    assert "give its box" in lines[7]
    assert complaints(outcomes) == ["c.png: Broken", "No such picture: d.png."]
    assert "assumed" not in summary([Outcome(Path("a.png"), (known,), written)])
