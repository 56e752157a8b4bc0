"""`occhand video`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from occhand.cli.console import EXIT_NO_HAND, RefineFlag, chosen, progress_bar
from occhand.outputs import read_given
from occhand.pretrained import DEFAULT_MODEL
from occhand.video.run import STAGES, VideoConfig, load_video_predictor, process_video
from occhand.video.run import summary as describe_video
from occhand.video.smooth import SmoothConfig
from occhand.video.webcam import open_source


def video(
    source: Positional[str],
    out: Path = Path("occhand-video"),
    K: Annotated[str | None, arg(name="K")] = None,
    model: str = DEFAULT_MODEL,
    joints_from: Path | None = None,
    refine: RefineFlag = False,
    no_refine: RefineFlag = False,
    hand: str | None = None,
    smooth: bool = True,
    bridge: float = 0.5,
    fps: float | None = None,
    seconds: float | None = None,
    json: bool = False,
) -> int:
    """Follow the hands of a video: annotated video, tables, animated GLB; run again, it goes on where it stopped.

    Exit code 0: hands found. 2: something given could not be used. 3: no hand.

    Args:
        source: A video file, a folder of frames, or the number of a webcam, which is recorded until Ctrl-C first.
        out: Folder for the results.
        K: Intrinsics as for predict, of the upright frame.
        model: As for predict.
        joints_from: As for predict.
        refine: As for predict.
        no_refine: As for predict.
        hand: As for predict.
        smooth: Take the jitter out of pose and place, from 0.4 s before and after each frame.
        bridge: Seconds without detection that are bridged at most, and marked.
        fps: Frames per second of a folder of frames.
        seconds: Length of a webcam's recording.
        json: Print what was done as JSON.
    """
    config = VideoConfig(read_given((), None, K, 1).K, SmoothConfig(SmoothConfig.span if smooth else None, bridge))
    frames = open_source(source, out, fps, seconds)
    predictor = load_video_predictor(model, hand, chosen(refine, no_refine), joints_from)
    with progress_bar() as bar:
        tasks = {stage: bar.add_task(stage, total=None) for stage in STAGES}
        report = lambda stage, done, total: bar.update(tasks[stage], completed=done, total=total)  # noqa: E731
        result = process_video(predictor, frames, out, model, config, report)
    print(json_module.dumps(result.record, indent=2) if json else describe_video(result))
    return 0 if result.record["tracks"] else EXIT_NO_HAND
