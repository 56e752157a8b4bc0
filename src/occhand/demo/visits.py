"""Who is on the page, and what each of them sees; nobody sees another's."""

from __future__ import annotations

import base64
import json
import logging
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from occhand.demo.answer import Answer, answer_record, reconstruct
from occhand.demo.scene import Occluder, Scene, scene_of, shrink
from occhand.demo.shelf import Choice, Shelf
from occhand.image_io import ImageError, data_url, load_image
from occhand.mesh_io import save_mesh
from occhand.result import HandMesh, result_record

MAX_VISITORS = 100
"""Of more, the one who has been away longest must choose a picture again."""
MAX_HANDS = 4
DOWNLOADS = {"glb": "model/gltf-binary", "obj": "model/obj", "json": "application/json"}
_AGAIN = "Choose an example or a picture first."

_log = logging.getLogger(__name__)


@dataclass
class Visit:
    """What one visitor has in front of them."""

    scene: Scene
    occluder: Occluder | None
    hands: tuple[HandMesh, ...]


def _as_message(handler: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Bad input, and what is not installed, become a line on the page; anything else is a bug and goes up."""

    @wraps(handler)
    def told(*args: Any) -> dict[str, Any]:
        try:
            return handler(*args)
        except (ValueError, ImportError, FileNotFoundError) as error:
            _log.info("%s", error, exc_info=True)
            return {"kind": "error", "text": " ".join(str(error).split())}

    return told


class Visits:
    """The page's answers, by visitor. Each gives a record for `static/stage.js`; its `kind` says what to do with it.

    Args:
        shelf: Estimators on offer.
        examples: Scenes by name.
    """

    def __init__(self, shelf: Shelf, examples: Mapping[str, Scene]) -> None:
        self._shelf, self._examples = shelf, list(examples.values())
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, "occhand-estimate")
        """Networks and detector serve one visitor at a time, and always in this thread: each thread keeps memory of its own."""

    def __len__(self) -> int:
        return len(self._visits)

    @_as_message
    def show_example(self, visitor: str, number: Any, choice: Choice) -> dict[str, Any]:
        """Start over with an example."""
        if not isinstance(number, int) or not 0 <= number < len(self._examples):
            raise ValueError(f"There is no example {number!r}. Choose one that is shown.")
        return self._show(visitor, self._examples[number], choice)

    @_as_message
    def show_file(self, visitor: str, path: str, choice: Choice) -> dict[str, Any]:
        """Start over with a picture that the visitor sent."""
        try:
            picture = shrink(load_image(path))
        except ImageError as error:
            raise ValueError(str(error).replace(str(path), f"“{Path(path).name}”")) from None
        hands = self._worker.submit(self._shelf.find_hands, picture).result()[:MAX_HANDS]
        return self._show(visitor, scene_of(picture, hands), choice)

    @_as_message
    def move(self, visitor: str, disc: Any, choice: Choice) -> dict[str, Any]:
        """The disc is elsewhere, or aside."""
        visit = self._visit(visitor)
        visit.occluder = Occluder.read(disc)
        return self._estimate(visit, choice)

    @_as_message
    def choose(self, visitor: str, choice: Choice) -> dict[str, Any]:
        """The same picture by another estimator."""
        return self._estimate(self._visit(visitor), choice)

    @_as_message
    def download(self, visitor: str, kind: Any) -> dict[str, Any]:
        """All hands that the visitor sees as one file; it goes to the browser at once and is kept nowhere."""
        hands, scene = self._visit(visitor).hands, self._visit(visitor).scene
        if not isinstance(kind, str) or kind not in DOWNLOADS:
            raise ValueError(f"No file of kind {kind!r}. Choose one of {', '.join(DOWNLOADS)}.")
        if not hands:
            raise ValueError("There is no hand to save.")
        if kind == "json":
            content = json.dumps(result_record("picture", scene.camera, hands), indent=2).encode()
        else:
            offsets = np.cumsum([0, *(len(hand.vertices) for hand in hands[:-1])])
            faces = np.concatenate([hand.faces + offset for hand, offset in zip(hands, offsets, strict=True)])
            with tempfile.TemporaryDirectory(prefix="occhand-") as folder:
                content = save_mesh(Path(folder, f"hand.{kind}"), np.concatenate([hand.vertices for hand in hands]), faces).read_bytes()
        return {"kind": "download", "name": f"hand.{kind}", "mime": DOWNLOADS[kind], "content": base64.b64encode(content).decode()}

    def leave(self, visitor: str) -> None:
        """Forget the visitor and their picture."""
        self._visits.pop(visitor, None)

    def _show(self, visitor: str, scene: Scene, choice: Choice) -> dict[str, Any]:
        visit = Visit(scene, None, ())
        record = self._estimate(visit, choice)
        self._visits[visitor] = visit
        while len(self._visits) > MAX_VISITORS:
            self._visits.popitem(last=False)
        return record | {"kind": "scene", "picture": data_url(scene.picture)}

    def _estimate(self, visit: Visit, choice: Choice) -> dict[str, Any]:
        answer = self._worker.submit(self._answer, visit, choice).result()
        visit.hands = answer.hands
        return {"kind": "answer", **answer_record(answer, visit.scene)}

    def _answer(self, visit: Visit, choice: Choice) -> Answer:
        return reconstruct(self._shelf.predictor(choice), visit.scene, visit.occluder)

    def _visit(self, visitor: str) -> Visit:
        visit = self._visits.get(visitor)
        if visit is None:
            raise ValueError(_AGAIN)
        self._visits.move_to_end(visitor)
        return visit
