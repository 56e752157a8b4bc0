"""Pictures of a mesh alone, and pictures side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from occhand.render.gallery import contact_sheet, save_animation, turntable


def blank(height: int, width: int, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def test_turntable_keeps_a_rod_in_the_frame_and_turns_it() -> None:
    rod = trimesh.creation.box(extents=(0.2, 0.02, 0.02))
    vertices = np.concatenate([rod.vertices, np.tile(rod.vertices[:1], (50, 1))]) + 5.0  # many at one end
    frames = turntable(vertices, np.asarray(rod.faces), frames=4, size=80, colour=(200, 40, 40))
    widths = []
    for frame in frames:
        assert frame.shape == (80, 80, 3)
        ys, xs = np.nonzero(frame[..., 0].astype(int) - frame[..., 2] > 40)
        assert 2 <= xs.min() <= xs.max() <= 77
        assert abs((xs.min() + xs.max()) / 2 - 39.5) <= 1.5
        assert abs((ys.min() + ys.max()) / 2 - 39.5) <= 1.5
        widths.append(np.ptp(xs))
    assert min(widths[0], widths[2]) > 60
    assert max(widths[1], widths[3]) < 20


def test_turntable_starts_with_what_the_camera_sees() -> None:
    """A step on the right (x > 0) of the near side is on the right of the first frame, and on the left from behind."""
    tall, low = trimesh.creation.box(extents=(0.1, 0.2, 0.02)), trimesh.creation.box(extents=(0.1, 0.1, 0.02))
    tall.apply_translation((0.05, 0.0, 0.0))
    low.apply_translation((-0.05, 0.05, 0.0))
    steps = trimesh.util.concatenate([tall, low])
    first, back = turntable(np.asarray(steps.vertices), np.asarray(steps.faces), frames=2, size=80, colour=(200, 40, 40))
    red_first, red_back = (frame[..., 0].astype(int) - frame[..., 2] > 40 for frame in (first, back))
    assert red_first[:, 40:].sum() > 1.5 * red_first[:, :40].sum()
    assert red_back[:, :40].sum() > 1.5 * red_back[:, 40:].sum()


def test_animation_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_, path, **__) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    path = tmp_path / "turn.webp"
    path.write_bytes(b"old")
    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        save_animation([blank(4, 4)], path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["turn.gif", "turn.webp", "turn.GIF"])
def test_animation_holds_its_frames(tmp_path: Path, name: str) -> None:
    save_animation([blank(20, 30, value) for value in (0, 120, 240)], tmp_path / name, frames_per_second=10.0)
    with Image.open(tmp_path / name) as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (3, (30, 20), 0)
        animation.seek(1)
        assert abs(int(np.asarray(animation.convert("RGB"))[5, 5, 0]) - 120) <= 3
        assert animation.info["duration"] == 100  # milliseconds


def test_animation_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.gif or \.webp"):
        save_animation([blank(4, 4)], tmp_path / "turn.mp4")
    with pytest.raises(ValueError, match="at least one frame"):
        save_animation([], tmp_path / "turn.gif")
    assert not list(tmp_path.iterdir())


def test_contact_sheet_fills_rows_and_keeps_proportions() -> None:
    sheet = contact_sheet([blank(100, 200, 10), blank(200, 100, 20), blank(50, 50, 30)], columns=2, cell=100)
    gap = (sheet.shape[0] - 200) // 3
    assert sheet.shape == (200 + 3 * gap, 200 + 3 * gap, 3)
    places = [np.argwhere((sheet == value).all(axis=-1)) for value in (10, 20, 30)]
    sizes = [(np.ptp(place, axis=0) + 1).tolist() for place in places]
    assert sizes == [[50, 100], [100, 50], [50, 50]]
    assert places[1].min(axis=0).tolist() == [gap, 2 * gap + 100 + 25]
    assert places[2].min(axis=0).tolist() == [2 * gap + 100 + 25, gap + 25]
    assert sheet[gap, gap].min() > sheet[gap + 99, gap].max()  # the backdrop darkens downwards
    assert contact_sheet([blank(50, 50)], columns=4, cell=100).shape == (100 + 2 * gap, 100 + 2 * gap, 3)


def test_contact_sheet_labels_its_pictures() -> None:
    images = [blank(100, 100), blank(100, 100)]
    plain, same, two = contact_sheet(images, columns=1), contact_sheet(images, ["left"] * 2, 1), contact_sheet(images, ["left", "right"], 1)
    assert (two != plain).any()
    half = len(two) // 2
    np.testing.assert_array_equal(two[:half], same[:half])
    assert (two[half:] != same[half:]).any()
    for labels in (["left"], ["left", "right", "both"]):
        with pytest.raises(ValueError, match=f"2 pictures and {len(labels)} labels"):
            contact_sheet(images, labels)
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])
