"""Several worker processes give what one gives, in the same order."""

import json
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occhand.batch import BatchJob, predict_many, settings_of
from occhand.detect import read_keypoints
from occhand.outputs import JOURNAL, Given, OutputOptions, plan_outputs, predict_file
from occhand.predictor import Predictor
from tests.conftest import EXAMPLES, StandInDetector
from tests.video.conftest import FlatHands


def open_stand_in(joints: Path) -> Predictor:
    stand_in = StandInDetector(read_keypoints(joints)[0])
    return Predictor(FlatHands(), stand_in, stand_in)


def test_two_workers_do_what_one_does(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for k in range(6):
        Image.open(EXAMPLES / "rendered-hand.png").resize((640, 480)).save(photos / f"{k}.png")
    (photos / "3.png").write_bytes(b"no picture")
    records = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        plan, failed = plan_outputs([photos], out)
        outcomes = list(predict_many(plan, failed, out, make_job(), workers))
        assert [outcome.image.name for outcome in outcomes] == [f"{k}.png" for k in range(6)]
        assert [outcome.error is None for outcome in outcomes] == [True, True, True, False, True, True]
        record = json.loads((out / "summary.json").read_text())
        records.append({key: record[key] for key in ("images", "images_with_hands", "hands", "failed")})
        assert (out / "contact.png").exists()
    assert records[0] == records[1] == {"images": 6, "images_with_hands": 5, "hands": 5, "failed": 1}


def make_job() -> BatchJob:
    options = OutputOptions(mesh_formats=("ply",))
    return BatchJob(partial(open_stand_in, EXAMPLES / "rendered-hand.json"), Given(), options, settings_of(Given(), options, model="flat"))


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "ab":
        Image.open(EXAMPLES / "rendered-hand.png").resize((160, 120)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def predict(tmp_path, monkeypatch):
    """Runs over paths into one folder, and tells how many images were looked at."""
    seen = []
    call = Predictor.__call__
    monkeypatch.setattr(Predictor, "__call__", lambda self, picture, **given: seen.append(1) or call(self, picture, **given))

    def count(*paths: Path) -> int:
        seen.clear()
        for _ in predict_many(*plan_outputs(paths, tmp_path / "out"), tmp_path / "out", make_job()):
            pass
        return len(seen)

    return count


def test_an_image_named_twice_is_done_once(photos, tmp_path, predict):
    assert predict(photos, photos / "a.png", photos / "a.png") == 2
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["images"] == 2


def test_an_image_that_changes_during_a_run_is_done_by_the_next(photos, tmp_path, predict):
    predict(photos)
    outcomes = predict_many(*plan_outputs([photos], tmp_path / "out"), tmp_path / "out", make_job())
    next(outcomes)
    os.utime(photos / "b.png", (1, 1))
    assert len(list(outcomes)) == 1
    assert predict(photos) == 1


def test_an_image_whose_files_are_gone_is_done_again_and_a_spoilt_one_is_not_on_the_sheet(photos, tmp_path, predict):
    predict(photos)
    (tmp_path / "out" / "a" / "overlay.png").unlink()
    (tmp_path / "out" / "b" / "overlay.png").write_bytes(b"no picture")
    (tmp_path / "out" / "contact.png").unlink()
    assert predict(photos) == 1
    assert (tmp_path / "out" / "contact.png").exists()


def test_a_folder_that_another_image_has_taken_is_not_taken_for_done(photos, predict):
    (photos / "other").mkdir()
    (photos / "b.png").rename(photos / "other" / "a.png")
    for image in (photos / "a.png", photos / "other" / "a.png", photos / "a.png"):
        assert predict(image) == 1
    assert predict(photos / "a.png") == 0


def test_what_is_done_outlives_a_kill_at_the_beginning_of_the_next_run(photos, predict, monkeypatch):
    predict(photos)
    dumps = json.dumps

    def killed(record, **options):
        if "key" in record:
            raise KeyboardInterrupt
        return dumps(record, **options)

    monkeypatch.setattr(json, "dumps", killed)
    with pytest.raises(KeyboardInterrupt):
        predict(photos)
    monkeypatch.setattr(json, "dumps", dumps)
    assert predict(photos) == 0


def test_result_folders_leave_the_names_of_the_run_free(tmp_path):
    images = [tmp_path / name for name in ("contact.jpg", "contact.png", "summary.json.jpg", "other/contact.png")]
    (tmp_path / "other").mkdir()
    for image in images:
        image.touch()
    plan, _ = plan_outputs(images, tmp_path)
    assert [folder.name for _, folder in plan] == ["contact", "contact.png-2", "summary.json.jpg", "contact.png-3"]


def test_no_result_folder_is_outside_of_the_output_folder(tmp_path):
    for name in ("..png", "...png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format="PNG")
    plan, _ = plan_outputs([tmp_path / "..png", tmp_path / "...png"], tmp_path / "out")
    assert [folder.name for _, folder in plan] == ["..png", "...png"]


def test_pictures_of_one_name_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("occhand.outputs.list_images", lambda paths: paths)
    plan, _ = plan_outputs([Path(f"{k}/frame.jpg") for k in range(100)], tmp_path)
    assert [folder.name for _, folder in plan[:4]] == ["frame", "frame.jpg", "frame.jpg-2", "frame.jpg-3"]
    assert len({folder for _, folder in plan}) == 100


def test_of_a_folder_about_to_be_taken_nothing_is_held_for_done(photos, tmp_path, predict, monkeypatch):
    """Or a kill between a result and its line would leave another image's hand under the first one's name."""
    others = tmp_path / "others"
    others.mkdir()
    for photo in photos.iterdir():
        shutil.copy(photo, others / photo.name)
    predict(photos)
    monkeypatch.setattr("occhand.batch._outcomes", lambda todo, job, workers: iter(()))
    with pytest.raises(RuntimeError):
        predict(others)
    assert str(photos) not in (tmp_path / "out" / JOURNAL).read_text()


def test_no_worker_is_no_run(tmp_path):
    job = BatchJob(partial(open_stand_in, EXAMPLES), Given(), OutputOptions(), {})
    with pytest.raises(ValueError, match="expected at least 1"):
        list(predict_many([], [], tmp_path, job, workers=0))


def test_what_workers_lack_is_said_as_one_process_says_it(photos, tmp_path):
    plan, failed = plan_outputs([photos], tmp_path / "out")
    job = replace(make_job(), make_predictor=partial(Predictor.from_pretrained, tmp_path / "none.safetensors"))
    for workers in (1, 2):
        with pytest.raises(FileNotFoundError, match="Weights not found"):
            list(predict_many(plan, failed, tmp_path / "out", job, workers))


def test_files_of_something_else_are_not_written_over(photos, predict, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "contact.png").write_bytes(b"of the user")
    with pytest.raises(ValueError, match=r"contact\.png is of no run of 'predict'"):
        predict(photos)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["contact.png"]


def test_a_result_that_another_run_wrote_over_is_done_again(photos, tmp_path, predict):
    predict(photos)
    predictor = make_job().open()
    predict_file(predictor, photos / "a.png", tmp_path / "out" / "a", Given(), make_job().options)
    assert predict(photos) == 1
    assert predict(photos) == 0


def test_an_entry_without_a_stamp_counts_as_not_done(photos, tmp_path, predict):
    predict(photos)
    journal = tmp_path / "out" / JOURNAL
    head, *lines = journal.read_text().splitlines()
    older = [json.dumps({name: value for name, value in json.loads(line).items() if name != "result"}) for line in lines]
    journal.write_text("\n".join([head, *older]) + "\n")
    assert predict(photos) == 2


def test_files_of_weights_that_change_make_another_run(tmp_path):
    weights, hand, graph = tmp_path / "a.safetensors", tmp_path / "hand.npz", tmp_path / "net.xml"
    for file in (weights, hand, graph, graph.with_suffix(".bin")):
        file.write_bytes(b"one")

    def settings(**changes):
        named = {"model": str(weights), "hand": str(hand), "joints_from": weights, "refine": None, "runtime": "auto"} | changes
        return settings_of(Given(), OutputOptions(), **named)

    before = settings()
    assert settings() == before
    assert set(before["files"]) == {"model", "hand", "joints_from"}
    for file in (weights, hand):
        os.utime(file, (1, 1))
        assert settings() != before
        before = settings()
    before = settings(model=graph)
    os.utime(graph.with_suffix(".bin"), (1, 1))
    assert settings(model=graph) != before
    assert settings(model="fit", hand="open", joints_from=None)["files"] == {}


def test_another_camera_and_other_options_make_another_run(monkeypatch):
    options, K = OutputOptions(), np.diag([600.0, 600.0, 1.0])
    runs = [settings_of(Given(), options), settings_of(Given(K=K), options), settings_of(Given(K=K + np.eye(3, k=2)), options)]
    runs += [settings_of(Given(), OutputOptions(("ply",))), settings_of(Given(), OutputOptions(has_maps=True))]
    monkeypatch.setattr("occhand.__version__", "0.0.0")
    texts = {json.dumps(settings) for settings in [*runs, settings_of(Given(), options)]}
    assert len(texts) == 6


def test_result_folders_differ_by_more_than_case(tmp_path, monkeypatch):
    monkeypatch.setattr("occhand.outputs.list_images", lambda paths: paths)
    plan, _ = plan_outputs([Path("1/Hand.jpg"), Path("2/hand.jpg"), Path("3/HAND.JPG"), Path("Summary.JSON.png")], tmp_path)
    assert [folder.name for _, folder in plan] == ["Hand", "hand.jpg", "HAND.JPG-2", "Summary.JSON.png"]


def test_intrinsics_that_seem_of_another_picture_are_doubted(photos, tmp_path, caplog):
    Image.open(EXAMPLES / "rendered-hand.png").resize((640, 480)).save(photos / "b.png")
    K = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])
    job = replace(make_job(), given=Given(K=K))
    outcomes = predict_many(*plan_outputs([photos], tmp_path / "out"), tmp_path / "out", job)
    assert [outcome.error for outcome in outcomes] == [None, None]
    (doubt,) = caplog.messages
    assert "a.png is 160 x 120 pixels, and the principal point of --K is 319.5,239.5" in doubt
