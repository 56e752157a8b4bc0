"""What the page answers, without the page."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from jsonschema import validate
from PIL import Image

from occhand.demo import visits as visits_module
from occhand.demo.answer import answer_record, reconstruct
from occhand.demo.scene import CARD_COLOUR, MAX_SIDE, Occluder
from occhand.demo.shelf import OWN_HAND, Choice, Shelf
from occhand.demo.visits import Visits
from occhand.estimators import NetworkEstimator
from occhand.hand.hand_layer import load_hand
from occhand.models.presets import create_model
from occhand.predictor import Predictor
from occhand.result import SCHEMA_FILE
from occhand.runtimes.network import make_ready

from .conftest import FIT, FindsNothing

AWAY = {"shown": True, "x": 5000.0, "y": 5000.0, "radius": 40.0}


@pytest.fixture
def visits(examples) -> Visits:
    return Visits(Shelf(detector=FindsNothing()), examples)


def over(scene, joint: int, radius: float) -> dict:
    x, y = scene.hands[0].keypoints.joints_img[joint]
    return {"shown": True, "x": float(x), "y": float(y), "radius": radius}


@pytest.mark.parametrize("model", Shelf().models)
def test_a_disc_hides_pixels_and_joints_and_the_estimate_is_less_sure(examples, model):
    scene, predictor = examples["Bottle"], Shelf().predictor(Choice(model, True, OWN_HAND))
    disc = Occluder.read(over(scene, 12, 60.0))
    behind = scene.behind(disc)
    covered = behind.hands[0].keypoints.weights == 0
    assert covered[12]
    assert 1 <= covered.sum() <= 12
    x, y = scene.hands[0].keypoints.joints_img[12].round().astype(int)
    assert tuple(behind.picture[y, x]) == CARD_COLOUR
    assert (behind.picture[:60, :60] == scene.picture[:60, :60]).all()
    seen, hidden = (reconstruct(predictor, scene, occluder).hands[0].joint_sigma for occluder in (None, disc))
    assert hidden[12] > (1.5 if model == "fit" else 1.1) * seen[12]


def test_too_little_left_is_said(visits, examples):
    visits.show_example("one", 0, FIT)
    record = visits.move("one", over(examples["Bottle"], 9, 250.0), FIT)
    assert record["hands"] == []
    assert any("leaves too little of 1 hand:" in line for line in record["facts"])
    assert visits.download("one", "glb") == {"kind": "error", "text": "There is no hand to save."}
    assert len(visits.move("one", {"shown": False}, FIT)["hands"]) == 1


def test_each_visitor_has_their_own_picture(visits):
    visits.show_example("one", 0, FIT)
    visits.show_example("two", 3, FIT)
    assert "Bottle" in visits.move("one", AWAY, FIT)["facts"][0]
    assert "Mug" in visits.choose("two", FIT)["facts"][0]
    visits.leave("one")
    assert visits.move("one", AWAY, FIT)["kind"] == "error"
    assert len(visits) == 1


def test_memory_is_bounded(visits, monkeypatch):
    monkeypatch.setattr(visits_module, "MAX_VISITORS", 2)
    for visitor in ("one", "two", "three"):
        visits.show_example(visitor, 0, FIT)
    assert len(visits) == 2
    assert visits.choose("one", FIT)["kind"] == "error"
    assert visits.choose("two", FIT)["kind"] == "answer"  # now "three" has been away longest
    visits.show_example("four", 0, FIT)
    assert visits.choose("two", FIT)["kind"] == "answer"
    assert visits.choose("three", FIT)["kind"] == "error"


@pytest.mark.parametrize(
    "disc",
    [
        {"shown": True},
        {"shown": True, "x": "1", "y": 2, "radius": 3},
        {"shown": True, "x": float("nan"), "y": 0, "radius": 1},
        {"shown": True, "x": 9, "y": 9, "radius": -3},
        {"shown": True, "x": 0, "y": -float("inf"), "radius": 1},
        {"shown": True, "x": 10**400, "y": 0, "radius": 1},
        ["shown", "x"],
        "disc",
        None,
    ],
)
def test_a_disc_that_is_none_is_refused(visits, disc):
    visits.show_example("one", 0, FIT)
    record = visits.move("one", disc, FIT)
    assert record["kind"] == "error"
    assert "expected x, y and radius" in record["text"]
    assert len(record["text"]) < 200


@pytest.mark.parametrize("choice", [Choice("/etc/passwd", True, OWN_HAND), Choice("fit", True, "/etc/passwd"), Choice("fi", True, "open")])
def test_what_is_not_on_offer_is_refused(visits, choice):
    assert "not on offer" in visits.show_example("one", 0, choice)["text"]


def test_weights_that_are_none_are_refused_at_the_start():
    with pytest.raises(ValueError, match="Unknown model 'nope'"):
        Shelf("nope")


@pytest.mark.parametrize("number", [-1, 99, "0", None])
def test_an_example_that_is_none_is_refused(visits, number):
    assert "no example" in visits.show_example("one", number, FIT)["text"]


def test_uploads(visits, tmp_path):
    Image.fromarray(np.full((600, 3000, 3), 90, np.uint8)).save(tmp_path / "wide.png")
    record = visits.show_file("one", str(tmp_path / "wide.png"), FIT)
    assert record["size"] == [MAX_SIDE, round(MAX_SIDE / 5)]
    assert "no hand found" in record["facts"][0]

    (tmp_path / "junk.png").write_bytes(b"junk")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    for name, words in (("junk.png", "Not a picture"), ("bomb.png", "too large")):
        text = visits.show_file("one", str(tmp_path / name), FIT)["text"]
        assert words in text
        assert name in text
        assert str(tmp_path) not in text


def test_files(visits):
    visits.show_example("one", 1, FIT)
    record = json.loads(base64.b64decode(visits.download("one", "json")["content"]))
    validate(record, json.loads(SCHEMA_FILE.read_text()))
    assert base64.b64decode(visits.download("one", "glb")["content"])[:4] == b"glTF"
    for kind in ("../obj", ["obj"], None):
        assert "No file of kind" in visits.download("one", kind)["text"]


def test_a_file_holds_all_hands(visits):
    visits.show_example("one", 0, FIT)
    visit = visits._visits["one"]
    visit.hands *= 2
    for kind in ("obj", "glb"):
        content = base64.b64decode(visits.download("one", kind)["content"])
        mesh = trimesh.load(io.BytesIO(content), file_type=kind, process=False, force="mesh")
        (hand, other), faces = visit.hands, visit.hands[0].faces
        axes = [1, -1, -1] if kind == "glb" else [1, 1, 1]
        np.testing.assert_allclose(mesh.vertices, np.concatenate([hand.vertices, other.vertices]) * axes, atol=1e-6)
        np.testing.assert_array_equal(mesh.faces, np.concatenate([faces, faces + len(hand.vertices)]))


def test_hands_of_a_picture_are_few_and_what_is_hidden_is_told(examples, tmp_path, monkeypatch):
    scene = examples["Cup"]

    class FindsTwo(FindsNothing):
        def detect(self, image):
            return list(scene.hands) * 2

    monkeypatch.setattr(visits_module, "MAX_HANDS", 1)
    Image.fromarray(scene.picture).save(tmp_path / "cup.png")
    visits = Visits(Shelf(detector=FindsTwo()), {})
    assert len(visits.show_file("one", str(tmp_path / "cup.png"), FIT)["hands"]) == 1
    disc = over(scene, 12, 40.0)
    (hand,) = visits.move("one", disc, FIT)["hands"]
    assert hand["hidden"] == Occluder.read(disc).covers(scene.hands[0].keypoints.joints_img).tolist()
    doubt, hidden = np.array(hand["doubt"]), np.array(hand["hidden"])
    assert doubt[hidden].mean() > doubt[~hidden].mean() + 0.1
    np.testing.assert_allclose(doubt, ((np.array(hand["sigma_mm"]) - 3) / 17).clip(0, 1), atol=0.004)


def test_what_nobody_saw_stays_hidden_and_the_guess_in_3d_is_gone(examples):
    (hand,) = examples["Bottle"].hands
    weights = np.where(np.arange(21) == 3, 0.0, 0.5)
    known = replace(hand.keypoints, weights=weights, joints_world=np.zeros((21, 3)))
    behind = replace(examples["Bottle"], hands=(replace(hand, keypoints=known),)).behind(Occluder(-500.0, -500.0, 5.0)).hands[0].keypoints
    np.testing.assert_array_equal(behind.weights, weights)
    assert behind.joints_world is None


def test_a_network_shows_its_maps(examples):
    torch.manual_seed(0)
    network = create_model("handoccnet-open-s", hand=load_hand("open")).eval()
    answer = reconstruct(Predictor(NetworkEstimator(network, refine=False)), examples["Cup"], None)
    assert answer.maps is not None
    silent = answer_record(replace(answer, hands=(replace(answer.hands[0], joint_sigma=None),)), examples["Cup"])["hands"][0]
    assert silent["sigma_mm"] is None
    assert silent["doubt"] == (1 - answer.hands[0].keypoint_weights).tolist()


def test_a_network_that_was_exported_answers_without_maps(examples):
    network = create_model("handoccnet-open-s", hand=load_hand("open")).eval()
    answer = reconstruct(Predictor(NetworkEstimator(make_ready(network), refine=False)), examples["Cup"], None)
    assert len(answer.hands) == 1
    assert answer_record(answer, examples["Cup"])["maps"] is None
