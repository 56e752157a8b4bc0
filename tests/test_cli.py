"""The command line as a user meets it: exit codes, what is written, and bad input in one line."""

import json
import re
from importlib import import_module
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import trimesh
from PIL import Image

import occhand
from occhand import cli, create_model
from occhand.hand.assets import load_parameters
from occhand.models.checkpoint import save_checkpoint
from occhand.predictor import Predictor
from occhand.result import SCHEMA_FILE
from tests.conftest import EXAMPLES
from tests.hand.mano_standin import mano_content, write_mano

PHOTO = EXAMPLES / "rendered-hand.png"
JOINTS = EXAMPLES / "rendered-hand.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())


@pytest.fixture(autouse=True)
def detector(monkeypatch, stand_in):
    def load_detector(predictor):
        predictor._detector = predictor._keypointer = stand_in

    monkeypatch.setattr(Predictor, "load_detector", load_detector)


def test_predict_writes_mesh_overlay_and_json(run, tmp_path):
    code, out, _ = run("predict", PHOTO, "--keypoints", JOINTS, "--out", tmp_path, "--turntable", "--mesh", "glb,obj,ply")
    folder = tmp_path / "rendered-hand"
    assert code == 0
    assert {file.name for file in folder.iterdir()} == {
        "result.json",
        "overlay.png",
        "turntable-hand0-right.webp",
        *(f"hand0-right.{kind}" for kind in ("glb", "obj", "ply")),
    }
    assert str(folder / "result.json") in out
    assert "camera was assumed" in out
    record = json.loads((folder / "result.json").read_text())
    jsonschema.validate(record, SCHEMA)
    assert record["camera"]["assumed"] is True
    assert record["hands"][0]["keypoints"]["source"] == "file"
    mesh = trimesh.load(folder / "hand0-right.ply", process=False)
    assert mesh.vertices.shape == (778, 3)
    assert Image.open(folder / "overlay.png").size == (640, 480)


def test_given_intrinsics_are_not_assumed(run, tmp_path):
    code, out, _ = run("predict", PHOTO, "--K", "600,600,319.5,239.5", "--out", tmp_path)
    record = json.loads((tmp_path / "rendered-hand" / "result.json").read_text())
    assert code == 0
    assert "assumed" not in out
    assert record["camera"] == {"K": [[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]], "assumed": False}


def test_no_hand_is_said_plainly(run, tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "dark.png")
    code, out, _ = run("predict", tmp_path / "dark.png", "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "dark" / "result.json").read_text())
    assert code == 3
    assert "no hand found" in out
    assert "--boxes" in out
    jsonschema.validate(record, SCHEMA)
    assert record["hands"] == []


def test_in_a_folder_the_others_go_on_and_the_bad_one_is_named(run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.open(PHOTO).save(photos / "a.png")
    Image.open(PHOTO).convert("RGB").save(photos / "a.jpg")
    (photos / "broken.jpg").write_bytes(PHOTO.read_bytes()[:2000])
    code, out, err = run("predict", photos, "--out", tmp_path / "out")
    assert code == 2
    assert "3 images: 2 hands in 2, 1 could not be used." in out
    assert "broken.jpg" in err
    assert len(err.strip().splitlines()) == 1
    names = {item.name for item in (tmp_path / "out").iterdir()}
    assert names == {"a", "a.png", "summary.json", "contact.png", ".progress.jsonl"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["images"], summary["hands"], summary["failed"]) == (3, 2, 1)


def test_json_output_is_for_machines(run, tmp_path):
    code, out, _ = run("predict", PHOTO, tmp_path / "none.jpg", "--out", tmp_path, "--json")
    entries = json.loads(out)
    assert code == 2
    assert [entry["error"] is None for entry in entries] == [False, True]
    assert entries[1]["hands"] == ["right"]


BAD_INPUT = {
    "no image": ([], "No image was named"),
    "missing file": (["none.jpg"], "No such file or folder"),
    "not a picture": (["text.txt"], "Not a picture"),
    "empty file": (["empty.jpg"], "Empty file"),
    "empty folder": (["void"], "No pictures in folder"),
    "K of words": ([PHOTO, "--K", "wide"], "expected fx,fy,cx,cy"),
    "K that is no camera": ([PHOTO, "--K", "-600,600,320,240"], "K is no pinhole camera"),
    "box outside": ([PHOTO, "--boxes", "700,0,900,200"], "outside of the image"),
    "box without area": ([PHOTO, "--boxes", "10,10,10,200"], "is empty"),
    "box of three": ([PHOTO, "--boxes", "1,2,3"], "Give x1,y1,x2,y2"),
    "boxes for two images": ([PHOTO, "second.png", "--boxes", "1,2,30,40"], "belong to one image"),
    "joints of the wrong shape": ([PHOTO, "--keypoints", "twenty.json"], r"expected \(21, 2\)"),
    "unknown mesh format": ([PHOTO, "--mesh", "stl"], "choose obj, ply, glb"),
    "unknown hand": ([PHOTO, "--hand", "opne"], "choose open, mano"),
    "unknown model": ([PHOTO, "--model", "handocnet"], "a .safetensors file, an authors' snapshot"),
    "runtime of the fit": ([PHOTO, "--model", "fit", "--runtime", "torch"], "The fit is no network"),
    "precision that a runtime has not": ([PHOTO, "--model", "none.onnx", "--runtime", "torch", "--precision", "int8"], "has no int8"),
    "exported network not there": ([PHOTO, "--model", "none.onnx"], "Exported network not found"),
    "weights not there": ([PHOTO, "--model", "none.safetensors"], "Weights not found"),
    "weights that are none": ([PHOTO, "--model", "text.safetensors"], "is no whole safetensors file"),
    "maps of the fit": ([PHOTO, "--model", "fit", "--maps"], "The fit has no maps"),
    "MANO not there": ([PHOTO, "--hand", "mano"], "occhand convert mano"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_two(run, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "text.safetensors").write_text("text")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "void").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "second.png")
    (tmp_path / "twenty.json").write_text(json.dumps([{"side": "right", "joints_img": np.zeros((20, 2)).tolist()}]))
    args, message = BAD_INPUT[case]
    code, _, err = run("predict", *args, "--out", tmp_path / "out")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert re.search(message, err)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = run("predict", PHOTO, "--out", tmp_path / "file")
    assert code == 2
    assert "Choose another folder with --out" in err


def test_a_failing_write_leaves_nothing_and_an_earlier_result_as_it_was(run, tmp_path, monkeypatch):
    run("predict", PHOTO, "--out", tmp_path)
    before = {file.name: file.read_bytes() for file in (tmp_path / "rendered-hand").iterdir()}

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("occhand.outputs.write_json", full_disk)
    code, _, err = run("predict", PHOTO, "--out", tmp_path)
    assert code == 2
    assert "No space left on device" in err
    assert {file.name: file.read_bytes() for file in (tmp_path / "rendered-hand").iterdir()} == before
    assert [file.name for file in tmp_path.iterdir() if file.name != "cache"] == ["rendered-hand"]


def test_a_failing_move_loses_no_file_of_an_earlier_result(run, tmp_path, monkeypatch):
    run("predict", PHOTO, "--out", tmp_path)
    folder = tmp_path / "rendered-hand"
    before = (folder / "result.json").read_bytes()
    replace = Path.replace

    def move(self, target):
        if target == folder / "overlay.png":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", move)
    assert run("predict", PHOTO, "--out", tmp_path, "--boxes", "200,84,418,275,left")[0] == 2
    assert (folder / "result.json").read_bytes() == before
    assert (folder / "hand0-right.glb").exists()


def test_a_second_run_leaves_no_hand_of_the_first(run, tmp_path):
    run("predict", PHOTO, "--out", tmp_path, "--turntable")
    (tmp_path / "rendered-hand" / "notes.txt").write_text("mine")
    run("predict", PHOTO, "--out", tmp_path, "--mesh", "OBJ, ply", "--boxes", "200,84,418,275,left")
    names = {file.name for file in (tmp_path / "rendered-hand").iterdir()}
    assert names == {"result.json", "overlay.png", "hand0-left.obj", "hand0-left.ply", "notes.txt"}


def test_a_failure_inside_is_one_line_and_the_others_go_on(run, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Predictor, "find_hands", fail)
    code, _, err = run("predict", PHOTO, "--out", tmp_path)
    assert code == 2
    assert "Failed on this picture (out of memory)" in err


def test_interrupted_runs_say_so(run, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "find_hands", interrupt)
    code, _, err = run("predict", PHOTO, "--out", tmp_path)
    assert code == 130
    assert "stopped" in err


def test_version(run):
    assert run("--version")[:2] == (0, f"{occhand.__version__}\n")


def test_convert_mano_says_the_side_and_keeps_it(run, tmp_path):
    right = load_parameters("open")
    pickle = write_mano(tmp_path / "MANO_RIGHT.pkl", mano_content(right))
    code, out, _ = run("convert", "mano", pickle)
    assert code == 0
    assert "holds MANO's right hand" in out
    assert run("predict", PHOTO, "--hand", "mano", "--out", tmp_path / "out")[0] == 0
    record = json.loads((tmp_path / "out" / "rendered-hand" / "result.json").read_text())
    assert record["hands"][0]["hand_model"] == "mano"
    code, _, err = run("convert", "mano", pickle, "--side", "left")
    assert code == 2
    assert "holds a right hand, expected a left one" in err


def test_a_network_predicts_with_maps_and_without_a_detector(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Predictor, "load_detector", lambda _: pytest.fail("a box with its side needs no detector"))
    weights = tmp_path / "weights.safetensors"
    save_checkpoint(create_model("handoccnet-open-s"), weights, data="none", licence="none")
    code, _, _ = run("predict", PHOTO, "--model", weights, "--boxes", "200,84,418,275,right", "--maps", "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "rendered-hand" / "result.json").read_text())
    assert code == 0
    assert (tmp_path / "out" / "rendered-hand" / "maps-hand0-right.png").is_file()
    jsonschema.validate(record, SCHEMA)
    assert record["hands"][0]["keypoints"]["source"] == "handoccnet"


def test_by_default_joints_decide_which_network_is_taken(run, tmp_path):
    """Said in the summary, with the reason; flags and names win."""
    cases = {
        (
            "--keypoints",
            JOINTS,
        ): "1 hand by handgcat-open-s, refined by the fit to the given 2D joints (the default where 2D joints are known).",
        (): "1 hand by handgcat-open-s, refined by the fit to MediaPipe's 2D joints (the default where 2D joints are known).",
        ("--no-refine",): "1 hand by handgcat-open-s, placed by MediaPipe's 2D joints (the default",
        # The stand-in finds no joints in this corner of the picture.
        ("--boxes", "520,380,620,470,left"): "1 hand by handoccnet-open-s, placed by its own 2D joints (the default where no 2D joints can",
        (
            "--boxes",
            "520,380,620,470,left",
            "--refine",
        ): "1 hand by handoccnet-open-s, refined by the fit to its own 2D joints (the default",
        ("--model", "fit"): "1 hand by fit to 2D joints.",
        ("--model", "handoccnet-open-s"): "1 hand by handoccnet-open-s, refined by the fit to MediaPipe's 2D joints.",
    }
    for args, said in cases.items():
        code, out, _ = run("predict", PHOTO, *args, "--mesh", "ply", "--out", tmp_path)
        assert code == 0
        assert said in out, args


def test_without_a_detector_a_box_with_its_side_is_enough(run, tmp_path, monkeypatch):
    def load_detector(predictor):
        raise ImportError("The detector needs mediapipe. Run: pip install 'occhand[detect]'")

    monkeypatch.setattr(Predictor, "load_detector", load_detector)
    code, out, _ = run("predict", PHOTO, "--boxes", "200,84,418,275,right", "--out", tmp_path)
    assert code == 0
    assert "by handoccnet-open-s, placed by its own 2D joints (the default where no 2D joints can be had)" in out
    for args in (("--boxes", "200,84,418,275"), (), ("--boxes", "200,84,418,275,right", "--model", "handgcat-open-s")):
        code, _, err = run("predict", PHOTO, *args, "--out", tmp_path)
        assert code == 2
        assert "pip install 'occhand[detect]'" in err


def test_models_are_listed_with_their_table_rows(run):
    code, out, _ = run("models", "--json")
    models = {model["name"]: model for model in json.loads(out)}
    assert code == 0
    assert models["handoccnet"]["parameters"] == 38_729_272
    assert all(model["table"] and model["gmacs"] > 0 for model in models.values())


def test_a_snapshot_that_is_none_is_refused(run, tmp_path):
    (tmp_path / "snapshot.pth.tar").write_bytes(b"no snapshot")
    code, _, err = run("convert", "checkpoint", tmp_path / "snapshot.pth.tar", tmp_path / "out.safetensors")
    assert code == 2
    assert "Nothing was loaded" in err
    assert not (tmp_path / "out.safetensors").exists()


def test_synthetic_hands_are_written_and_measured(run, tmp_path):
    code, out, _ = run("synth", "--out", tmp_path / "hands", "--n", 6, "--size", 64)
    assert code == 0
    assert "6 samples" in out
    assert (tmp_path / "hands" / "contact.png").is_file()
    code, out, _ = run("stress", "--data", tmp_path / "hands", "--limit", 4, "--clips", 1, "--frames", 10, "--out", tmp_path / "report")
    assert code == 0
    assert "over 4 hands and 2 clips" in out
    report = json.loads((tmp_path / "report" / "stress.json").read_text())
    assert "synthetic" in json.dumps(report)
    assert (tmp_path / "report" / "stress.html").is_file()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["synth", "--n", "0"], "at least one sample"),
        (["synth", "--split", "open-tset"], "near: open-test"),
        (["stress", "--data", "nowhere"], "nowhere"),
        (["stress", "--data", "open-val", "--limit", "2", "--predictions", "none.json"], "none.json"),
    ],
)
def test_synth_and_stress_refuse_what_is_not_there(run, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*args, "--out", "out")
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_export_is_checked_before_weights_are_read(run, tmp_path):
    for args, message in ((("net.trt",), "end it in .onnx"), (("net.onnx", "--precision", "bf16"), "has no bf16")):
        code, _, err = run("export", "none.safetensors", "--out", tmp_path / args[0], *args[1:])
        assert code == 2
        assert message in err
    assert list(tmp_path.glob("net*")) == []


def test_bench_writes_ratios_and_a_plot(run, tmp_path, monkeypatch):
    monkeypatch.setattr("occhand.bench.missing_packages", lambda runtime: ["none"] if runtime != "torch" else [])
    code, out, _ = run("bench", "--batches", 1, "--threads", 1, "--rounds", 2, "--out", tmp_path / "b")
    report = json.loads((tmp_path / "b" / "bench.json").read_text())
    assert code == 0
    assert "bench.png" in out
    assert report["timings"][0]["variant"] == "plain"
    assert report["timings"][0]["ratio"] == 1
    assert all(timing["p95_ms"] >= timing["p50_ms"] >= timing["min_ms"] > 0 for timing in report["timings"])
    assert sum(report["modules"].values()) < 3 * report["timings"][0]["p95_ms"]
    code, _, err = run("bench", "--batches", 0)
    assert code == 2
    assert "at least 1" in err


def test_doctor_names_a_next_step_for_what_is_missing(run):
    code, out, _ = run("doctor")
    assert code == 0
    assert "occhand convert mano MANO_RIGHT.pkl" in out
    _, out, _ = run("doctor", "--json")
    findings = json.loads(out)
    assert all(finding["next_step"] for finding in findings if finding["state"] != "ok")


def subverbs(verb):
    file, name = cli.VERBS[verb].split(".")
    return getattr(getattr(import_module(f"occhand.cli.{file}"), name), "_subcommands", {})


VERBS = ["", *cli.VERBS, *(f"{verb} {sub}" for verb in cli.VERBS for sub in subverbs(verb))]


def test_verbs_in_verbs_are_found():
    assert {"convert mano", "convert checkpoint", "data list", "data check"} < set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_there_for_every_verb(run, verb):
    code, out, _ = run(*verb.split(), "-h")
    assert code == 0
    assert "usage: occhand" in out


def test_a_folder_goes_on_where_it_stopped(run, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "abc":
        Image.open(PHOTO).save(photos / f"{name}.png")
    seen = []
    call = Predictor.__call__
    monkeypatch.setattr(Predictor, "__call__", lambda self, picture, **given: seen.append(1) or call(self, picture, **given))
    run("predict", photos, "--out", tmp_path / "out")
    assert len(seen) == 3
    first = (tmp_path / "out" / "summary.json").read_bytes()
    journal = tmp_path / "out" / ".progress.jsonl"
    journal.write_text(journal.read_text()[:-40])  # killed while it wrote the last line
    code, out, _ = run("predict", photos, "--out", tmp_path / "out")
    assert code == 0
    assert len(seen) == 4
    assert "3 images: 3 hands in 3" in out
    assert (tmp_path / "out" / "summary.json").read_bytes() == first
    run("predict", photos, "--out", tmp_path / "out", "--mesh", "ply")
    assert len(seen) == 7  # other settings: all again
