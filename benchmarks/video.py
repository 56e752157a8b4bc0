"""`occhand video` on a long film with the real detector: frames per second, memory, and whether a killed run ends as one left alone.

The film is a rendered clip of `occhand.synth.clips`, played there and back until it is long enough, 640 x 480; MediaPipe finds its hands
as it finds real ones. It is done three times: left alone; killed (SIGKILL) at a random moment; gone on with. Every file of the last must
be, byte for byte, that of the first. Speed is from the first call to the last file, without the start of Python and of the networks.
`other_work` is the share of the processor that other programs took meanwhile: where it is not small, the speed means nothing.

Run (Linux): OMP_NUM_THREADS=2 python benchmarks/video.py [--frames 10000] [--kind crossing] [--model fit] [--skip-kill]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from machine import memory_mb, processor_seconds

from occhand.synth.clips import Clip
from occhand.video.encode import VideoWriter
from occhand.video.frames import open_video
from occhand.video.run import STAGES, load_video_predictor, process_video

HEIGHT, WIDTH, FPS = 480, 640, 30
CLIPS = {"occluder": 3, "crossing": 4}
"""Numbers of clips whose hands MediaPipe finds in most frames."""
SETTLED = 500
"""Frames after which memory must stay."""
_EVERY = 20


def write_film(path: Path, kind: Any, frames: int) -> None:
    clip = Clip(21, CLIPS[kind], kind, size=HEIGHT)
    border = (WIDTH - HEIGHT) // 2
    pictures = [np.pad(frame.image, ((0, 0), (border, border), (0, 0)), mode="edge") for frame in clip]
    there_and_back = pictures + pictures[::-1]
    with VideoWriter(path) as writer:
        for number in range(frames):
            writer.write(there_and_back[number % len(there_and_back)], number / FPS)


def process_film(film: Path, out: Path, model: str, log: Path) -> None:
    """What a process of its own does; `log` gets a line of JSON every few frames."""
    predictor = load_video_predictor(model)
    with log.open("w") as lines:

        def note(stage: str, done: int, **more: Any) -> None:
            rss, peak = memory_mb()
            now = {"stage": stage, "done": done, "seconds": time.perf_counter() - start, "rss_mb": rss, "peak_mb": peak}
            print(json.dumps(now | more), file=lines, flush=True)

        start, before = time.perf_counter(), processor_seconds()
        process_video(predictor, open_video(film), out, model, None, lambda stage, done, _: None if done % _EVERY else note(stage, done))
        own, everyone = processor_seconds() - before
        note("end", 0, own_s=own, others_s=everyone - own)


def start(*task: Any) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=process_film, args=task)
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    process.join()
    if process.exitcode:
        raise SystemExit(f"A run ended with exit code {process.exitcode}.")


def read_log(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")] if log.exists() else []


def run_alone(film: Path, out: Path, model: str, log: Path, frames: int) -> dict[str, Any]:
    """Speed and memory of a run that is left alone."""
    finish(start(film, out, model, log))
    notes = read_log(log)
    end = notes[-1]
    first_pass = [note for note in notes if note["stage"] == STAGES[0]]
    settled = [note for note in notes if note["stage"] != STAGES[0] or note["done"] >= min(SETTLED, frames // 2)]
    memory = [note["rss_mb"] for note in settled]
    record = json.loads((out / "video.json").read_text())
    return {
        "frames_per_s": round(frames / end["seconds"], 1),
        "seconds": {"all": round(end["seconds"], 1), STAGES[0]: round(first_pass[-1]["seconds"], 1)},
        "processor_ms_per_frame": round(1e3 * end["own_s"] / frames, 1),
        "other_work": round(end["others_s"] / end["seconds"] / (os.cpu_count() or 1), 3),
        "rss_mb": {
            f"at frame {SETTLED}": round(memory[0]),
            "after it": [round(min(memory)), round(max(memory))],
            f"peak before frame {SETTLED} and at the end": [round(settled[0]["peak_mb"]), round(end["peak_mb"])],
            "series": [[note["stage"], note["done"], round(note["rss_mb"])] for note in notes[:: max(1, len(notes) // 20)]],
        },
        "tracks": record["tracks"],
    }


def run_killed(film: Path, out: Path, model: str, log: Path, after_s: float) -> dict[str, Any]:
    """Where a run was when it was killed, `after_s` into its work, and how long the rest took."""
    process = start(film, out, model, log)
    while not read_log(log):
        time.sleep(0.05)
    process.join(after_s)
    process.kill()
    process.join()
    last = read_log(log)[-1]
    finish(start(film, out, model, log))
    return {"stage": last["stage"], "frame": last["done"], "rest_s": round(read_log(log)[-1]["seconds"], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--model", default="handgcat-open-s")
    parser.add_argument("--kind", choices=tuple(CLIPS), default="occluder")
    parser.add_argument("--skip-kill", action="store_true", help="speed and memory only")
    parser.add_argument("--seed", type=int, help="of the moment of the kill")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory(prefix="occhand-bench-") as name:
        folder = Path(name)
        film, log, alone, killed = folder / "film.mp4", folder / "log", folder / "alone", folder / "killed"
        write_film(film, options.kind, options.frames)
        result = {"frames": options.frames, "size": [WIDTH, HEIGHT], "kind": options.kind, "model": options.model}
        result |= run_alone(film, alone, options.model, log, options.frames)
        if not options.skip_kill:
            log.unlink()
            after_s = random.Random(seed).random() * result["seconds"]["all"]
            result["killed"] = {"seed": seed, **run_killed(film, killed, options.model, log, after_s)}
            files = sorted({file.name for out in (alone, killed) for file in out.iterdir()})
            equal = [file for file in files if (killed / file).read_bytes() == (alone / file).read_bytes()]
            result |= {"equal": equal, "unequal": [file for file in files if file not in equal]}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
