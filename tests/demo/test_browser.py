"""The page in a real browser."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import trimesh
from PIL import Image

DRAWN = """part => {
  const canvas = document.querySelector(`[data-part=${part}]`), gl = canvas.getContext("webgl");
  const pixels = new Uint8Array(4 * canvas.width * canvas.height);
  gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  let covered = 0;
  for (let k = 3; k < pixels.length; k += 4) covered += pixels[k] > 0;
  return covered / (canvas.width * canvas.height);
}"""


def hidden_joints(facts: str) -> int:
    return int(re.search(r"(\d+) of 21 joints under the disc", facts).group(1))


def uncertainty_mm(facts: str) -> float:
    return float(re.search(r"±([\d.]+) mm", facts).group(1))


def drag_disc_to(visitor, x: float, y: float) -> None:
    """Take the disc by its middle to a place in the picture, 0..1, in steps as a hand does."""
    visitor.page.locator("[data-part=photo]").evaluate("photo => photo.scrollIntoView({block: 'center'})")
    disc, photo = (visitor.page.locator(selector).bounding_box() for selector in ("circle.disc", "[data-part=photo]"))
    grip = disc["x"] + 0.3 * disc["width"], disc["y"] + 0.3 * disc["height"]
    visitor.page.mouse.move(*grip)
    visitor.page.mouse.down()
    middle = disc["x"] + disc["width"] / 2 - grip[0], disc["y"] + disc["height"] / 2 - grip[1]
    visitor.page.mouse.move(photo["x"] + x * photo["width"] - middle[0], photo["y"] + y * photo["height"] - middle[1], steps=12)
    visitor.page.mouse.up()


def save(visitor, kind: str, folder):
    with visitor.page.expect_download() as download:
        visitor.page.locator(f"[data-save={kind}]").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_mesh_overlay_drag_and_files(visit, tmp_path):
    visitor = visit()
    visitor.page.get_by_role("button", name="Mug").click()
    visitor.wait_for_answer(2)
    assert "Mug, rendered" in visitor.facts
    assert 0.03 < visitor.page.evaluate(DRAWN, "overlay") < 0.6
    assert 0.03 < visitor.page.evaluate(DRAWN, "orbit") < 0.6
    assert visitor.page.locator("[data-part=joints] circle.joint").count() == 21
    assert hidden_joints(visitor.facts) == 0
    before = uncertainty_mm(visitor.facts)

    joint = visitor.page.locator("[data-part=joints] circle.joint").nth(7)
    x, y = (float(joint.get_attribute(name)) / 384 for name in ("cx", "cy"))
    drag_disc_to(visitor, x, y)
    visitor.page.wait_for_selector("circle.joint.hidden", state="attached")
    visitor.page.wait_for_function(r"/[1-9]\d* of 21 joints under the disc/.test(document.querySelector('[data-part=facts]').innerText)")
    visitor.page.wait_for_selector("[data-answers][aria-busy=false]")  # the last place may still be on its way
    assert hidden_joints(visitor.facts) >= 1
    assert uncertainty_mm(visitor.facts) > before

    mesh = trimesh.load(save(visitor, "glb", tmp_path), force="mesh", process=False)
    assert mesh.vertices.shape == (778, 3)
    assert mesh.faces.shape == (1538, 3)
    assert 0.08 < np.ptp(mesh.vertices, axis=0).max() < 0.3
    np.testing.assert_allclose(trimesh.load(save(visitor, "obj", tmp_path), process=False).vertices * (1, -1, -1), mesh.vertices, atol=1e-5)
    record = json.loads(save(visitor, "json", tmp_path).read_text())
    assert record["schema"] == "occhand.result"
    assert 0.0 in record["hands"][0]["keypoints"]["weights"]


def test_keys_alone_are_enough(visit):
    visitor = visit()
    visitor.page.locator("circle.disc").focus()
    for _ in range(12):
        visitor.page.keyboard.press("ArrowUp")
        visitor.page.keyboard.press("ArrowLeft")
    for _ in range(8):
        visitor.page.keyboard.press("+")
    visitor.page.wait_for_selector("circle.joint.hidden", state="attached")

    before = visitor.page.screenshot()
    visitor.page.locator("[data-part=orbit]").focus()
    for _ in range(3):
        visitor.page.keyboard.press("ArrowRight")
    assert visitor.page.screenshot() != before

    visitor.page.get_by_role("button", name="Sleeve").focus()
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_function("document.querySelector('[data-part=facts]').innerText.includes('Sleeve')")


def test_upload_of_pictures_junk_and_other_files(visit, tmp_path):
    visitor = visit()
    Image.fromarray(np.full((300, 400, 3), 90, np.uint8)).save(tmp_path / "empty.png")
    (tmp_path / "junk.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"junk" * 100)

    def upload(name: str, words: str) -> None:
        with visitor.page.expect_file_chooser() as chooser:
            visitor.page.get_by_role("button", name="Upload a picture").click()
        chooser.value.set_files(tmp_path / name)
        visitor.page.wait_for_function("words => document.querySelector('[data-part=facts]').innerText.includes(words)", arg=words)

    upload("junk.png", "junk.png")
    assert str(tmp_path) not in visitor.facts
    assert "occhand-demo-" not in visitor.facts
    upload("empty.png", "no hand found")
    assert visitor.page.locator("[data-part=picture]").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [400, 300]


def test_visitors_do_not_see_each_other(visit):
    one, two = visit(), visit()
    one.page.get_by_role("button", name="Mug").click()
    one.wait_for_answer(2)
    two.page.get_by_role("button", name="Cup").click()
    two.wait_for_answer(2)
    one.page.locator("circle.disc").focus()
    one.page.keyboard.press("ArrowLeft")
    one.wait_for_answer(3)
    assert "Mug" in one.facts
    assert "Cup" in two.facts


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_nothing_is_wider_than_the_window(visit, width, height):
    visitor = visit(width, height)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("[data-part=photo]", "[data-part=orbit]", "[data-save=json]", ".occhand-gallery button >> nth=5", "#upload"):
        box = visitor.page.locator(selector).first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert min(box["width"], box["height"]) >= 24
