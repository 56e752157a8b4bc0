"""From a 640 x 480 picture to a mesh, stage by stage: what a user waits for, with the real detector on rendered pictures of a hand.

python benchmarks/end_to_end.py --threads 2 --frames 20

`photo` seeks hands as `occhand predict` does, in the picture and in tiles of it; `frame` in the picture and its squares, as in the first
frame of a film; `followed` looks where the last frame's hand was. Each then estimates, with the fit, a mesh. Medians over the frames; times
of stages are of the same calls alone. `busy elsewhere` is what other programs took of the processors (Linux): it should be small.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import processor_seconds

from occhand.detect.mediapipe import MediaPipeHands
from occhand.predictor import Predictor
from occhand.synth.clips import Clip

HEIGHT, WIDTH = 480, 640
CLIP = 3
"""Of a hand that MediaPipe finds in most frames."""


def frames(count: int) -> list[np.ndarray]:
    border = (WIDTH - HEIGHT) // 2
    clip = Clip(21, CLIP, "occluder", frames=4 * count, size=HEIGHT)
    pictures = (np.pad(frame.image, ((0, 0), (border, border), (0, 0)), mode="edge") for frame in clip)
    return [picture for k, picture in enumerate(pictures) if k % 4 == 0]


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="handgcat-open-s")
    parser.add_argument("--runtime", help="what runs the network; PyTorch if not said")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    plain = Predictor.from_pretrained(options.model, refine=False, runtime=options.runtime)
    predictor = Predictor.from_pretrained(options.model, refine=True, runtime=options.runtime)
    thorough, quick = MediaPipeHands.load(), MediaPipeHands.load(tile_fractions=(1.0,), copies=1)
    times: dict[str, list[float]] = {}

    def note(stage: str, call: Callable[[], object]) -> None:
        times.setdefault(stage, []).append(milliseconds(call))

    pictures = [picture for picture in frames(options.frames) if quick.glance(picture)]
    camera = predictor.camera(pictures[0])
    before, start = processor_seconds(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for picture in [pictures[0], *pictures]:
            hands = quick.glance(picture)[:1]
            assert hands[0].keypoints is not None
            joints_img = hands[0].keypoints.joints_img
            mesh = predictor.reconstruct([picture], hands, camera)[0]
            note("photo", lambda: predictor.reconstruct([picture], thorough.glance(picture)[:1], camera))  # noqa: B023
            note("frame", lambda: predictor.reconstruct([picture], quick.glance(picture)[:1], camera))  # noqa: B023
            note("find in picture and tiles", lambda: thorough.glance(picture))  # noqa: B023
            note("find as in a film's first frame", lambda: quick.glance(picture))  # noqa: B023
            note("follow", lambda: quick.follow(picture, joints_img))  # noqa: B023
            note("crop, network, place", lambda: plain.reconstruct([picture], hands, camera))  # noqa: B023
            note("crop, network, fit", lambda: predictor.reconstruct([picture], hands, camera))  # noqa: B023
            note("files: .glb and .obj", lambda: [mesh.save(Path(folder, f"hand.{kind}")) for kind in ("glb", "obj")])  # noqa: B023
            note("overlay", lambda: mesh.draw(picture))  # noqa: B023
    own, everyone = processor_seconds() - before
    busy = max(0.0, everyone - own) / (time.perf_counter() - start)
    medians = {stage: float(np.median(values[1:])) for stage, values in times.items()}
    medians["followed"] = medians["follow"] + medians["crop, network, fit"]
    for stage, ms in medians.items():
        print(f"{stage:28} {ms:7.1f} ms" + (f"  {1e3 / ms:5.1f} a second" if stage in ("photo", "frame", "followed") else ""))
    print(f"{len(pictures)} frames, {options.threads} threads; {busy:.2f} processors busy elsewhere")
    if options.json:
        options.json.write_text(json.dumps(medians | {"busy_elsewhere": busy}, indent=2) + "\n")


if __name__ == "__main__":
    main()
