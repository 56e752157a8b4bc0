from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occhand import image_io
from occhand.image_io import ImageError, data_url, encode_jpeg, list_images, load_image, save_image
from tests.data.samples import png_header_only

RAMP = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
COLOUR = np.stack([RAMP, RAMP[::-1], np.full_like(RAMP, 40)], axis=2)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tif", ".gif", ".webp", ".avif", ".jpg", ".jp2"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    smooth = np.full((24, 32, 3), (200, 120, 40), dtype=np.uint8)
    Image.fromarray(smooth).save(tmp_path / f"a{suffix}")
    image = load_image(tmp_path / f"a{suffix}")
    assert image.dtype == np.uint8
    assert image.shape == (24, 32, 3)
    assert np.abs(image.astype(int) - smooth).max() <= 4


def test_grey_and_palette(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(load_image(tmp_path / "grey.png"), np.repeat(RAMP[..., None], 3, axis=2))
    palette = Image.fromarray(COLOUR).quantize(256)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(load_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


def test_bilevel(tmp_path: Path) -> None:
    Image.fromarray(RAMP > 90).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png")[..., 1], np.where(RAMP > 90, 255, 0))


def test_transparency_over_white(tmp_path: Path) -> None:
    alpha = np.full((*RAMP.shape, 1), 255, dtype=np.uint8)
    alpha[:, 8:] = 0
    alpha[:, 12:] = 102
    Image.fromarray(np.concatenate([COLOUR, alpha], axis=2)).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image[:, :8], COLOUR[:, :8])
    assert (image[:, 8:12] == 255).all()
    assert np.abs(image[:, 12:] - (0.4 * COLOUR[:, 12:] + 0.6 * 255)).max() <= 1


def test_transparent_palette_and_grey_alpha(tmp_path: Path) -> None:
    Image.fromarray(RAMP).convert("P").save(tmp_path / "p.png", transparency=5)
    assert (load_image(tmp_path / "p.png")[0, 5] == 255).all()
    Image.merge("LA", (Image.fromarray(RAMP), Image.new("L", (16, 12), 0))).save(tmp_path / "la.png")
    assert (load_image(tmp_path / "la.png") == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_scaled_not_cut(tmp_path: Path, suffix: str) -> None:
    deep = (RAMP.astype(np.uint16) * 257).copy()
    Image.fromarray(deep).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(load_image(tmp_path / f"a{suffix}")[..., 0], RAMP)


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_float_tiff(tmp_path: Path, white: float) -> None:
    Image.fromarray((RAMP / 255.0 * white).astype(np.float32)).save(tmp_path / "a.tif")
    assert np.abs(load_image(tmp_path / "a.tif")[..., 0].astype(int) - RAMP).max() <= 1


def test_floats_beyond_white_are_cut(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 128.0, 300.0, -5.0]], np.float32)).save(tmp_path / "a.tif")
    assert load_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255, 0]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 12), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = load_image(tmp_path / "a.jpg")[6, 8].astype(int)
    assert red > 230
    assert max(green, blue) < 40


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), turn(COLOUR))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 12), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(load_image(tmp_path / "a.gif")[0, 0], (250, 0, 0))


def _fails(path: Path, *words: str) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


def test_missing_folder_empty_and_text(tmp_path: Path) -> None:
    _fails(tmp_path / "none.jpg", "No such picture", "Check the path")
    _fails(tmp_path, "A folder", "Name a file in it")
    (tmp_path / "empty.jpg").touch()
    _fails(tmp_path / "empty.jpg", "0 bytes", "again")
    (tmp_path / "text.jpg").write_text("not a picture")
    _fails(tmp_path / "text.jpg", "Not a picture", "convert it")
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    _fails(tmp_path / "a.eps", "Not a picture")


def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    _fails(tmp_path / "pipe.jpg", "Not a regular file")


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr(os, "access", lambda *_: False)  # file modes bind everyone but root
    _fails(tmp_path / "a.png", "permissions")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif", ".avif", ".bmp", ".ppm"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _fails(path)


def test_a_damaged_avif(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(COLOUR).save(path)
    path.write_bytes(path.read_bytes().replace(b"iloc", b"none"))
    _fails(path, "Broken or truncated picture", "again")


def test_decompression_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header_only(60_000, 60_000))
    _fails(path, "too large", "Scale it down")
    path.write_bytes(png_header_only(16_000, 10_000))
    _fails(path, "too large", "16000 x 10000")


def test_pixel_limit_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr(image_io, "MAX_PIXELS", COLOUR[..., 0].size)
    load_image(tmp_path / "a.png")
    monkeypatch.setattr(image_io, "MAX_PIXELS", COLOUR[..., 0].size - 1)
    _fails(tmp_path / "a.png", "too large", "191")


def test_a_picture_that_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise MemoryError

    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    _fails(tmp_path / "a.png", "more pixels than memory holds", "Scale it down")


def test_list_images(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deeper").mkdir(parents=True)
    (folder / "named-like-a.png").mkdir()
    for name in ("b.PNG", "a.jpg", "notes.txt", "deeper/c.png"):
        (folder / name).touch()
    single = tmp_path / "odd.name"
    single.touch()
    assert list_images([single, folder]) == [single, folder / "a.jpg", folder / "b.PNG"]


def test_a_dead_link_in_a_folder_is_listed_and_then_named(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    assert list_images([tmp_path]) == [tmp_path / "gone.png"]
    _fails(tmp_path / "gone.png", "No such picture")


def test_a_path_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / ("long" * 100), tmp_path / "file" / "inside.png", tmp_path / "zero\0byte"):
        (tmp_path / "file").touch()
        with pytest.raises(ImageError, match=r"Check the path"):
            list_images([path])

    def refuse(_: Path, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)  # file modes bind everyone but root
    with pytest.raises(ImageError, match=r"Permission denied.*permissions on the way"):
        list_images([tmp_path / "locked" / "a.png"])


def test_list_images_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="No such file or folder"):
        list_images([tmp_path / "none"])
    with pytest.raises(ImageError, match="No pictures in folder"):
        list_images([tmp_path])

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ImageError, match=r"cannot be read: .*Permission denied"):
        list_images([tmp_path])


def test_save_image(tmp_path: Path) -> None:
    save_image(COLOUR, tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "out" / "a.png"), COLOUR)
    with pytest.raises(ImageError, match=r"\.png or \.jpg"):
        save_image(COLOUR, tmp_path / "a.xyz")


def test_a_saved_jpeg_is_close_and_its_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 1)).astype(np.uint8).repeat(3, axis=2)
    save_image(noise, tmp_path / "a.JPG")
    assert np.abs(load_image(tmp_path / "a.JPG").astype(int) - noise).mean() < 4


def test_a_sharp_jpeg_keeps_the_colour_of_single_pixels() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = 255
    off = {}
    for is_sharp in (False, True):
        decoded = np.asarray(Image.open(io.BytesIO(encode_jpeg(stripes, 90, is_sharp))))
        off[is_sharp] = np.abs(decoded.astype(int) - stripes).mean()
    assert off[True] < 5 < 20 < off[False]


def test_an_address_holds_its_picture() -> None:
    kind, _, content = data_url(COLOUR, quality=95).partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).format == "JPEG"


def test_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image(COLOUR, tmp_path / "a.png")

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_image(COLOUR // 2, tmp_path / "a.png")
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), COLOUR)


@pytest.mark.parametrize("white", [255, 65535])
def test_32_bit_tiff_is_scaled_by_what_it_holds(tmp_path: Path, white: int) -> None:
    ramp = RAMP.astype(np.int32) + 255 - int(RAMP.max())
    Image.fromarray(ramp * (white // 255)).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == "I"
    np.testing.assert_array_equal(load_image(tmp_path / "a.tif")[..., 0], ramp)


@pytest.mark.parametrize(("low", "high"), [(-5, 90), (0, 70_000)])
def test_integers_without_a_white_are_refused(tmp_path: Path, low: int, high: int) -> None:
    Image.fromarray(np.linspace(low, high, 12, dtype=np.int32).reshape(3, 4)).save(tmp_path / "a.tif")
    _fails(tmp_path / "a.tif", f"integers from {low} to {high}", "Save it as 8 or 16 bits")


def test_dark_16_bits_stay_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 200, np.int32)).save(tmp_path / "a.pgm")
    with Image.open(tmp_path / "a.pgm") as image:
        assert image.mode == "I"
    assert load_image(tmp_path / "a.pgm").max() == 1


@pytest.mark.filterwarnings("error")
def test_a_picture_of_nan_alone_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "a.tif")
    _fails(tmp_path / "a.tif", "every pixel", "NaN", "Save it again")
    Image.fromarray(np.array([[np.nan, 1.0]], np.float32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(load_image(tmp_path / "a.tif")[0, :, 0], [0, 255])
