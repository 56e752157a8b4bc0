"""Many photographs: in batches over worker processes, gone on with after a stop, summed up in one file and one picture."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8

import occhand
from occhand.files import atomic_path
from occhand.image_io import ImageError, load_image, save_image
from occhand.outputs import CONTACT_SHEET, JOURNAL, SUMMARY, Given, Outcome, OutputOptions, predict_file
from occhand.predictor import Predictor
from occhand.result import write_json

SCHEMA_VERSION = 1
_BATCH = 4
"""Images that a worker takes at once."""
_BATCHES_PER_WORKER = 3
_SHEET_IMAGES = 64

Plan = Sequence[tuple[Path, Path]]
"""Images, each with its result folder."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchJob:
    """What is done to every image."""

    make_predictor: Callable[[], Predictor]
    """Called once in each process, so it must be picklable where there are several: `functools.partial(Predictor.from_pretrained, ...)`."""
    given: Given
    options: OutputOptions
    settings: dict[str, Any]
    """All that the results depend on, for JSON: a run is gone on with only by the same."""

    def open(self) -> Predictor:
        predictor = self.make_predictor()
        if self.given.needs_detector(predictor):
            predictor.load_detector()
        return predictor


def predict_many(plan: Plan, failed: Sequence[Outcome], out: Path, job: BatchJob, workers: int = 1) -> Iterator[Outcome]:
    """Reconstruct images one after the other, and at the end write `summary.json` and `contact.png`.

    Images that an earlier run with the same settings finished, and that did not change since, are not done again while all their files are
    there.

    Args:
        plan: As `plan_outputs` gives it.
        failed: What could not be used before anything began; it goes into the summary.
        out: Where the summary goes.
        job: What to do.
        workers: Processes; 1 works in this one.

    Yields:
        The outcome of each image in the order of the plan.

    Raises:
        ValueError: No worker, or one died, when what is done is kept; or `out` holds files of something else under our names. And what
            `job.make_predictor` raises.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers: expected at least 1.")
    for name in (SUMMARY, CONTACT_SHEET):
        if (out / name).exists() and not (out / JOURNAL).exists():
            raise ValueError(f"{out / name} is of no run of 'predict'. Choose another folder with --out, or move the file away.")
    keys = [_key(image) for image, _ in plan]  # once: an image that changes while the run goes on is done again by the next
    done = _read_journal(out / JOURNAL, job.settings)
    kept = {folder for (_, folder), key in zip(plan, keys, strict=True) if folder in done and done[folder].is_of(key)}
    fresh = _outcomes([(image, folder) for image, folder in plan if folder not in kept], job, workers)
    outcomes = list(failed)
    with atomic_path(out / JOURNAL) as temporary, temporary.open("w", encoding="utf-8") as journal:
        journal.write(json.dumps(job.settings) + "\n")
        planned = {folder for _, folder in plan}
        journal.writelines(entry.line() for folder, entry in done.items() if folder in kept or folder not in planned)
    with (out / JOURNAL).open("a", encoding="utf-8") as journal:
        for (_, folder), key in zip(plan, keys, strict=True):
            outcome = done[folder].outcome if folder in kept else next(fresh)
            if folder not in kept and outcome.error is None:
                journal.write(_Entry.of(key, outcome).line())
                journal.flush()
            outcomes.append(outcome)
            yield outcome
    write_summary(out, outcomes, job.settings)


def write_summary(out: Path, outcomes: Sequence[Outcome], settings: dict[str, Any]) -> None:
    """One file of everything, and the overlays of up to 64 images from all over the run."""
    good = [outcome for outcome in outcomes if outcome.error is None]
    record = {
        "schema": "occhand.summary",
        "schema_version": SCHEMA_VERSION,
        "occhand_version": occhand.__version__,
        "settings": settings,
        "images": len(outcomes),
        "images_with_hands": sum(bool(outcome.hands) for outcome in good),
        "hands": sum(len(outcome.hands) for outcome in good),
        "failed": len(outcomes) - len(good),
        "results": [outcome.record() for outcome in outcomes],
    }
    write_json(out / SUMMARY, record)
    if good:
        from occhand.render.gallery import contact_sheet  # here, as one photograph does not need it, and numba takes long to import

        places = np.unique(np.linspace(0, len(good) - 1, min(_SHEET_IMAGES, len(good))).round().astype(int))
        overlays = [file for k in places for file in good[int(k)].files if file.name == "overlay.png"]
        named = [(file.parent.name[:24], picture) for file in overlays if (picture := _small_picture(file)) is not None]
        if named:
            names, pictures = zip(*named, strict=True)
            save_image(contact_sheet(pictures, names, columns=min(8, len(named)), cell=240), out / CONTACT_SHEET)


def _small_picture(file: Path) -> UInt8[np.ndarray, "height width 3"] | None:
    """For the contact sheet; None of what was taken away or spoilt since it was written."""
    try:
        picture = load_image(file)
    except ImageError as error:
        _log.debug("%s", error)
        return None
    step = max(1, max(picture.shape[:2]) // 480)
    return np.ascontiguousarray(picture[::step, ::step])


def _key(image: Path) -> str:
    """Changes when the image does."""
    return f"{image}|{_stamp(image)}"


def _stamp(file: Path) -> str:
    """Size and time of a file, which change when it is written; empty where there is none."""
    try:
        stat = file.stat()
    except OSError:
        return ""
    return f"{stat.st_size}|{stat.st_mtime_ns}"


class _Entry(NamedTuple):
    """What the journal holds of one image."""

    key: str
    outcome: Outcome
    result: str
    """Stamp of `result.json`, which any later run over the same folder writes anew."""

    @classmethod
    def of(cls, key: str, outcome: Outcome) -> _Entry:
        """What is to be held of an image just done."""
        return cls(key, outcome, _stamp(outcome.files[0]))

    def is_of(self, key: str) -> bool:
        """Whether it tells what is on disk of the image with this key."""
        files = self.outcome.files
        return self.key == key and self.result == _stamp(files[0]) and all(file.exists() for file in files)

    def line(self) -> str:
        return json.dumps({"key": self.key, "result": self.result, "outcome": self.outcome.record()}) + "\n"


def _read_journal(path: Path, settings: dict[str, Any]) -> dict[Path, _Entry]:
    """What an earlier run with these settings wrote last to each result folder; of a line that a kill cut short nothing is kept."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    done: dict[Path, _Entry] = {}
    try:
        if not lines or json.loads(lines[0]) != json.loads(json.dumps(settings)):
            return {}
        for line in lines[1:]:
            record = json.loads(line)
            entry = _Entry(record["key"], Outcome.from_record(record["outcome"]), record.get("result", ""))
            done[entry.outcome.files[0].parent] = entry
    except (ValueError, LookupError, TypeError):
        _log.debug("%s ends in the middle of a line", path)
    return done


def _outcomes(todo: Plan, job: BatchJob, workers: int) -> Iterator[Outcome]:
    if not todo:
        return
    if workers == 1:
        predictor = job.open()
        for image, folder in todo:
            yield predict_file(predictor, image, folder, job.given, job.options)
        return
    batches = (todo[start : start + _BATCH] for start in range(0, len(todo), _BATCH))
    # Started afresh rather than forked: a fork inherits the locks of threads that it does not have.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (job,)) as pool:
        waiting: deque[Future[list[Outcome]]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(_predict_batch, batch))
                if len(waiting) >= workers * _BATCHES_PER_WORKER:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise ValueError(
                "A worker process died, perhaps for want of memory. What is done is kept; run the same command with fewer --workers."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


_worker: tuple[Predictor, BatchJob] | Exception | None = None
"""What a worker process works with, or why it cannot; set once there."""


def _start_worker(job: BatchJob) -> None:
    global _worker
    torch.set_num_threads(1)
    try:
        _worker = job.open(), job
    except (ValueError, OSError, ImportError) as error:  # raised here, it would only break the pool
        _worker = error


def _predict_batch(batch: Plan) -> list[Outcome]:
    if isinstance(_worker, Exception):
        raise _worker
    assert _worker is not None
    predictor, job = _worker
    return [predict_file(predictor, image, folder, job.given, job.options) for image, folder in batch]


def settings_of(given: Given, options: OutputOptions, **named: Any) -> dict[str, Any]:
    """What the results of a run depend on, for `BatchJob`; of arguments that name a file also its stamp, as files of weights change.

    An OpenVINO network's weights lie beside the file that is named.
    """
    K = None if given.K is None else given.K.tolist()
    texts = {key: None if value is None else str(value) for key, value in named.items()}
    paths = {key: Path(value) for key, value in named.items() if isinstance(value, str | Path)}
    files = {key: _stamp(path) + _stamp(path.with_suffix(".bin")) for key, path in paths.items() if path.is_file()}
    return {"version": occhand.__version__, "K": K, "options": asdict(options), "files": files} | texts
