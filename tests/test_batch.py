"""Several worker processes give what one gives, in the same order."""

import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from occhand.batch import BatchJob, predict_many, settings_of
from occhand.detect import read_keypoints
from occhand.outputs import Given, OutputOptions, plan_outputs
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
        options = OutputOptions(mesh_formats=("ply",))
        job = BatchJob(
            partial(open_stand_in, EXAMPLES / "rendered-hand.json"), Given(), options, settings_of(Given(), options, model="flat")
        )
        outcomes = list(predict_many(plan, failed, out, job, workers))
        assert [outcome.image.name for outcome in outcomes] == [f"{k}.png" for k in range(6)]
        assert [outcome.error is None for outcome in outcomes] == [True, True, True, False, True, True]
        record = json.loads((out / "summary.json").read_text())
        records.append({key: record[key] for key in ("images", "images_with_hands", "hands", "failed")})
        assert (out / "contact.png").exists()
    assert records[0] == records[1] == {"images": 6, "images_with_hands": 5, "hands": 5, "failed": 1}


def test_no_worker_is_no_run(tmp_path):
    job = BatchJob(partial(open_stand_in, EXAMPLES), Given(), OutputOptions(), {})
    with pytest.raises(ValueError, match="expected at least 1"):
        list(predict_many([], [], tmp_path, job, workers=0))
