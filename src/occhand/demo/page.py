"""The page's parts and what happens when one is touched. Needs gradio: import it only through `occhand.demo.serve`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

import gradio as gr
from gradio.exceptions import InvalidPathError
from gradio_client.utils import is_http_url_like  # type: ignore[import-untyped]

from occhand.demo.scene import Scene, shrink
from occhand.demo.shelf import Choice, Shelf
from occhand.demo.visits import Visits
from occhand.image_io import data_url

QUEUE_SIZE = 200
"""Requests that wait at most; further ones are told to try again."""
_UPLOADS_KEPT_S = 60
_THUMBNAIL = 128


def build_page(shelf: Shelf, visits: Visits, examples: Mapping[str, Scene]) -> gr.Blocks:
    """Everything between the header and the last line."""
    with gr.Blocks(title="OccHand", analytics_enabled=False, fill_width=True, delete_cache=(_UPLOADS_KEPT_S, _UPLOADS_KEPT_S)) as page:
        gr.HTML(_static("header.html"), elem_classes="occhand-header")
        with gr.Row(elem_classes="occhand-sources"):
            gallery = gr.HTML(None, html_template=_gallery(examples), js_on_load=_static("gallery.js"), min_width=300, scale=3)
            with gr.Column(min_width=260, scale=1):
                upload = gr.UploadButton("Upload a picture", file_types=["image"], variant="primary", elem_id="upload")
                with gr.Accordion("Webcam", open=False):
                    webcam = gr.Image(sources=["webcam"], type="filepath", image_mode=None, show_label=False, height=220, buttons=[])
        with gr.Row(elem_classes="occhand-choices"):
            model = gr.Dropdown(list(shelf.models), value=shelf.models[0], label="Model", elem_id="model")
            hand = gr.Dropdown(list(shelf.hands), value=shelf.hands[0], label="Hand model", elem_id="hand")
            refine = gr.Checkbox(True, label="Refine a network's hand by the fit", elem_id="refine", container=True)
        stage = gr.HTML(None, html_template=_static("stage.html"), js_on_load=_static("viewer.js") + _static("stage.js"), elem_id="stage")

        def show_example(model: str, refine: bool, hand: str, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
            return visits.show_example(_visitor(request), _sent(event, "number"), Choice(model, refine, hand))

        def show_first(model: str, refine: bool, hand: str, request: gr.Request) -> dict[str, Any]:
            return visits.show_example(_visitor(request), 0, Choice(model, refine, hand))

        def show_file(path: str | None, model: str, refine: bool, hand: str, request: gr.Request) -> Any:
            return visits.show_file(_visitor(request), path, Choice(model, refine, hand)) if path else gr.skip()

        def move(model: str, refine: bool, hand: str, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
            return visits.move(_visitor(request), event._data, Choice(model, refine, hand))

        def choose(model: str, refine: bool, hand: str, request: gr.Request) -> dict[str, Any]:
            return visits.choose(_visitor(request), Choice(model, refine, hand))

        def download(event: gr.EventData, request: gr.Request) -> dict[str, Any]:
            return visits.download(_visitor(request), _sent(event, "kind"))

        def leave(request: gr.Request) -> None:
            visits.leave(_visitor(request))

        choice: list[Any] = [model, refine, hand]
        quietly: dict[str, Any] = {"outputs": stage, "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "estimates"}
        page.load(show_first, choice, **quietly)
        # "always_last" would send the first event's data again; stage.js itself sends one place of the disc at a time.
        gallery.example(show_example, choice, **quietly, trigger_mode="multiple")
        upload.upload(show_file, [upload, *choice], **quietly)
        webcam.input(show_file, [webcam, *choice], **quietly)
        stage.move(move, choice, **quietly, trigger_mode="multiple")
        stage.download(download, None, **quietly, trigger_mode="multiple")
        for control in (model, refine, hand):
            control.input(choose, choice, **quietly, trigger_mode="always_last")
        page.unload(leave)
    for part in page.blocks.values():
        _take_no_addresses(part)
    return page.queue(max_size=QUEUE_SIZE, default_concurrency_limit=1)


def looks() -> dict[str, Any]:
    """How the page is dressed: the system's own fonts, so that none is fetched from anywhere."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="slate", neutral_hue="slate", radius_size="md", font=fonts, font_mono=["ui-monospace", "Menlo", "monospace"]
    )
    return {"theme": theme, "css": _static("page.css"), "footer_links": []}


def _take_no_addresses(part: Any) -> None:
    """Refuse a file that a crafted request gives as a web address; Gradio would fetch it, from this computer."""
    keep_uploaded = part.async_move_resource_to_block_cache

    async def keep(path: str | None) -> str | None:
        if is_http_url_like(path):
            raise InvalidPathError("A file must be uploaded; addresses are not fetched.")
        kept: str | None = await keep_uploaded(path)
        return kept

    part.async_move_resource_to_block_cache = keep


def _sent(event: gr.EventData, name: str) -> Any:
    """What a browser says of an event; a crafted request may say anything."""
    return event._data.get(name) if isinstance(event._data, dict) else None


def _visitor(request: gr.Request) -> str:
    return str(request.session_hash)


def _static(name: str) -> str:
    return (resources.files("occhand.demo") / "static" / name).read_text(encoding="utf-8")


def _gallery(examples: Mapping[str, Scene]) -> str:
    """A button for each example."""
    buttons = []
    for number, (name, scene) in enumerate(examples.items()):
        step = max(1, scene.picture.shape[0] // _THUMBNAIL)
        picture = data_url(shrink(scene.picture)[::step, ::step])
        buttons.append(
            f'<button type="button" data-number="{number}"><img src="{picture}" alt="" width="{_THUMBNAIL}" height="{_THUMBNAIL}">'
            f"<span>{escape(name)}</span></button>"
        )
    return f'<div class="occhand-gallery" role="group" aria-label="Rendered examples">{"".join(buttons)}</div>'
