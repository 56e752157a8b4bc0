"""From image files to files on disk: meshes, an overlay, `result.json`, on demand a turning hand."""

from __future__ import annotations

import logging
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from occhand.detect import DetectedHand, parse_box, read_boxes, read_keypoints
from occhand.image_io import ImageError, list_images, load_image, save_image
from occhand.mesh_io import check_format
from occhand.predictor import Predictor
from occhand.result import HandMesh, draw_hands, result_record, write_json
from occhand.types import Camera, Side

SUMMARY, CONTACT_SHEET, JOURNAL = "summary.json", "contact.png", ".progress.jsonl"
"""The files of a run over many images, beside their folders."""
_OURS = re.compile(r"result\.json|overlay\.png|(turntable-|maps-)?hand\d+-(right|left)\.(glb|obj|ply|webp|png)")
"""The files that `write_outputs` makes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutputOptions:
    """Which files to write beside `overlay.png` and `result.json`.

    Raises:
        ValueError: Unknown mesh format.
    """

    mesh_formats: tuple[str, ...] = ("glb", "obj")
    has_turntable: bool = False
    """An animation of each hand turning, `turntable-hand<k>-<side>.webp`."""
    has_maps: bool = False
    """What the network looked at, `maps-hand<k>-<side>.png`."""

    def __post_init__(self) -> None:
        for kind in self.mesh_formats:
            check_format(kind)


@dataclass(frozen=True)
class Given:
    """What the user knows about one image; see `Predictor.__call__`."""

    boxes: Float[np.ndarray, "hands 4"] | None = None
    sides: Sequence[Side | None] | None = None
    keypoints: Sequence[DetectedHand] | None = None
    K: Float[np.ndarray, "3 3"] | None = None

    def needs_detector(self, predictor: Predictor) -> bool:
        """Whether something must still be found in the image."""
        is_placed = self.sides is not None and all(self.sides) and predictor.estimator.keypoint_need != "required"
        return self.keypoints is None and not is_placed


class FoundHand(NamedTuple):
    """What a summary says of a hand; its mesh is on disk."""

    side: Side
    score: float
    is_camera_assumed: bool
    estimator: str
    """What made the mesh, and why it was taken."""


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    image: Path
    hands: tuple[FoundHand, ...] = ()
    files: tuple[Path, ...] = ()
    """`result.json` first."""
    error: str | None = None
    """One line with the next step, where the image or what was given with it could not be used; nothing was written or changed then."""

    def record(self) -> dict[str, Any]:
        """For machines."""
        files = [str(file) for file in self.files]
        hands = {
            "hands": [hand.side for hand in self.hands],
            "scores": [round(hand.score, 4) for hand in self.hands],
            "estimators": [hand.estimator for hand in self.hands],
        }
        assumed = any(hand.is_camera_assumed for hand in self.hands)
        return {"image": str(self.image), **hands, "camera_assumed": assumed, "files": files, "error": self.error}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Outcome:
        """What `record` told."""
        rows = zip(record["hands"], record["scores"], record["estimators"], strict=True)
        hands = tuple(FoundHand(side, score, record["camera_assumed"], estimator) for side, score, estimator in rows)
        return cls(Path(record["image"]), hands, tuple(map(Path, record["files"])), record["error"])


def read_given(boxes: Sequence[str], keypoints: Path | None, K: str | None, image_count: int) -> Given:
    """What the user typed about an image, or named a file for.

    Args:
        boxes: `x1,y1,x2,y2[,side]` each, or the name of one JSON file.
        keypoints: A JSON file of hands with their joints.
        K: `fx,fy,cx,cy`.
        image_count: How many images the run has; boxes and joints belong to a single one.

    Raises:
        ValueError: Not in these forms, or boxes or joints for several images.
    """
    if (boxes or keypoints) and image_count > 1:
        raise ValueError(f"Boxes and joints belong to one image, but the run has {image_count}. Run each image by itself.")
    if boxes and keypoints:
        raise ValueError("Both boxes and joints were given. Leave the boxes out: a file of joints may hold them as bbox_xyxy.")
    intrinsics = None if K is None else _parse_intrinsics(K)
    if keypoints:
        return Given(keypoints=read_keypoints(keypoints), K=intrinsics)
    if len(boxes) == 1 and boxes[0].lower().endswith(".json"):
        corners, sides = read_boxes(boxes[0])
        return Given(corners, sides, K=intrinsics)
    if boxes:
        parsed = [parse_box(text) for text in boxes]
        return Given(np.stack([box for box, _ in parsed]), [side for _, side in parsed], K=intrinsics)
    return Given(K=intrinsics)


def _parse_intrinsics(text: str) -> Float[np.ndarray, "3 3"]:
    try:
        fx, fy, cx, cy = (float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(f"K is {text!r}, expected fx,fy,cx,cy in pixels (900,900,320,240). Leave it out to assume a camera.") from None
    return Camera(np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), height=1, width=1).K


def plan_outputs(paths: Iterable[Path], out: Path) -> tuple[list[tuple[Path, Path]], list[Outcome]]:
    """The images named or in the folders named, each once and with a result folder of its own, and what could not be used."""
    images: list[Path] = []
    failed: list[Outcome] = []
    for path in paths:
        try:
            images += list_images([path])
        except ImageError as error:
            failed.append(Outcome(path, error=str(error)))
    images = list({image.absolute(): image for image in images}.values())
    return [(image, out / name) for image, name in zip(images, _folder_names(images), strict=True)], failed


def _folder_names(images: Iterable[Path]) -> Iterator[str]:
    """After each image a name that no other folder and no file of the run has."""
    # Without case, as macOS and Windows compare names; the last two are the stems of "..png" and "...png".
    taken = {name.casefold() for name in (SUMMARY, CONTACT_SHEET, JOURNAL, ".", "..")}
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))  # each goes on where it is: what it gave is taken
    for image in images:
        candidates = chain((image.stem, image.name), (f"{image.name}-{n}" for n in numbers[image.name]))
        name = next(name for name in candidates if name.casefold() not in taken)
        taken.add(name.casefold())
        yield name


def predict_file(predictor: Predictor, image: Path, folder: Path, given: Given, options: OutputOptions) -> Outcome:
    """Reconstruct the hands of one image file and write the results; bad input becomes the outcome's error."""
    try:
        picture = load_image(image)
        if given.K is not None:
            _doubt_other_sizes(given.K, image, *picture.shape[:2])
        hands = predictor(picture, boxes=given.boxes, sides=given.sides, keypoints=given.keypoints, K=given.K)
        maps = [_draw_maps(predictor, picture, hand) for hand in hands] if options.has_maps else []
        camera = predictor.camera(picture, given.K)
        found = tuple(FoundHand(hand.side, hand.score, hand.camera.source == "assumed", hand.estimator) for hand in hands)
        return Outcome(image, found, tuple(write_outputs(folder, image.name, picture, camera, hands, options, maps)))
    except ValueError as error:
        _log.debug("%s", image, exc_info=True)
        return Outcome(image, error=" ".join(str(error).split()))
    except OSError as error:
        return Outcome(image, error=f"Cannot write to {folder}: {error.strerror or error}. Choose another folder with --out.")
    except (RuntimeError, MemoryError) as error:  # from torch or the detector, on this picture: the others of a run go on
        _log.debug("%s", image, exc_info=True)
        return Outcome(image, error=f"Failed on this picture ({' '.join(str(error).split()) or type(error).__name__}). Try it scaled down.")


def _doubt_other_sizes(K: Float[np.ndarray, "3 3"], image: Path, height: int, width: int) -> None:
    """One K is given for all pictures of a run; the point leaves those that it is not of, but also parts cut out of a picture."""
    x, y = K[:2, 2]
    if not (0 <= x < width and 0 <= y < height):
        _log.warning("%s is %d x %d pixels, and the principal point of --K is %g,%g. Is K of this picture?", image, width, height, x, y)


def write_outputs(
    folder: Path,
    image_name: str,
    image: UInt8[np.ndarray, "height width 3"],
    camera: Camera,
    hands: Sequence[HandMesh],
    options: OutputOptions,
    maps: Sequence[UInt8[np.ndarray, "_ _ 3"]] = (),
) -> list[Path]:
    """Write everything of one image into its folder, or nothing: all is made in a folder beside it first, then moved, `result.json` last.

    What an earlier run left there under our names goes after that, so that the folder holds the hands of this run only. A move that fails
    leaves the earlier `result.json`, and every file that it names.

    Args:
        folder: Made where it is missing.
        image_name: How the JSON calls the picture.
        image: The picture itself, for the overlay.
        camera: Of the picture.
        hands: May be empty: then there is an overlay that says so, and a JSON with an empty list.
        options: Which files.
        maps: A picture for each hand of what the network looked at.

    Returns:
        The files, `result.json` first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        made = Path(beside)
        names = [f"hand{k}-{hand.side}" for k, hand in enumerate(hands)]
        mesh_files = [[f"{name}.{kind}" for kind in options.mesh_formats] for name in names]
        for k, (name, hand) in enumerate(zip(names, hands, strict=True)):
            for mesh_file in mesh_files[k]:
                hand.save(made / mesh_file)
            if options.has_turntable:
                _save_turntable(hand, k, made / f"turntable-{name}.webp")
            if maps:
                save_image(maps[k], made / f"maps-{name}.png")
        save_image(np.asarray(draw_hands(image, hands)), made / "overlay.png")
        write_json(made / "result.json", result_record(image_name, camera, hands, mesh_files))

        folder.mkdir(exist_ok=True)
        files = [
            file.replace(folder / file.name) for file in sorted(made.iterdir(), key=lambda file: (file.name == "result.json", file.name))
        ]
        for earlier in folder.iterdir():
            if earlier not in files and _OURS.fullmatch(earlier.name):
                earlier.unlink()
        return [files[-1], *files[:-1]]


def _draw_maps(predictor: Predictor, picture: UInt8[np.ndarray, "height width 3"], hand: HandMesh) -> UInt8[np.ndarray, "_ _ 3"]:
    from occhand.render.heat import draw_maps  # here and below, as importing numba takes longer than writing a mesh

    return draw_maps(*predictor.look_inside(picture, hand))


def _save_turntable(hand: HandMesh, k: int, path: Path) -> None:
    from occhand.render.gallery import save_animation, turntable
    from occhand.render.shade import PALETTE

    save_animation(turntable(hand.vertices, hand.faces, colour=PALETTE[k % len(PALETTE)]), path)


def summary(outcomes: Sequence[Outcome]) -> str:
    """What was found and written, and where."""
    done = [outcome for outcome in outcomes if outcome.error is None]
    lines = []
    for outcome in done:
        hands = ", ".join(f"{hand.side} ({hand.score:.2f})" for hand in outcome.hands) or "no hand found"
        lines.append(f"{outcome.image}: {hands}")
        if len(outcomes) == 1:
            lines += [f"  wrote {file}" for file in outcome.files]
        else:
            lines.append(f"  wrote {len(outcome.files)} files to {outcome.files[0].parent}")
    estimators = Counter(hand.estimator for outcome in done for hand in outcome.hands)
    lines += [f"{count} {'hand' if count == 1 else 'hands'} by {estimator}." for estimator, count in estimators.items()]
    if any(hand.is_camera_assumed for outcome in done for hand in outcome.hands):
        lines.append("The camera was assumed, so the distance of the hands is a guess. Give --K fx,fy,cx,cy where it is known.")
    if len(outcomes) > 1:
        count, with_hands = sum(len(outcome.hands) for outcome in done), sum(bool(outcome.hands) for outcome in done)
        lines.append(f"{len(outcomes)} images: {count} hands in {with_hands}, {len(outcomes) - len(done)} could not be used.")
    if any(not outcome.hands for outcome in done):
        lines.append("Where you can see a hand, give its box (--boxes x1,y1,x2,y2,right), tighter or wider, or its joints (--keypoints).")
    return "\n".join(lines)


def complaints(outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each image that could not be used."""
    failed = [(str(outcome.image), outcome.error) for outcome in outcomes if outcome.error is not None]
    return [error if image in error else f"{image}: {error}" for image, error in failed]
