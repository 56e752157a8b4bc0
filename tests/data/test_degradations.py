"""Cut-outs, spectra and bad cameras: each does what it says and nothing else."""

import numpy as np
import pytest

from occhand.data import augment
from occhand.data.cutout import random_cutout
from occhand.data.degrade import gaussian_blur, gaussian_noise, jpeg, low_light, motion_blur
from occhand.data.spectrum import mix_amplitude
from occhand.image_io import load_image
from tests.conftest import EXAMPLES


@pytest.fixture(scope="module")
def picture():
    """A square of the rendered example."""
    return np.ascontiguousarray(load_image(EXAMPLES / "rendered-hand.png")[100:228, 100:228])


def spread_of_a_dot(blur):
    """Standard deviation in x and y of what becomes of one bright pixel."""
    image = np.zeros((61, 61, 3), np.uint8)
    image[28:33, 28:33] = 255
    weights = blur(image)[..., 0].astype(float)
    v, u = np.mgrid[:61, :61] - 30
    return np.array([np.sqrt((weights * axis**2).sum() / weights.sum() - 2) for axis in (u, v)])  # 2: a 5 x 5 square's own variance


def test_gaussian_blur_has_its_sigma():
    np.testing.assert_allclose(spread_of_a_dot(lambda image: gaussian_blur(image, 3.0)), 3.0, rtol=0.15)


def test_motion_blur_moves_along_its_angle_only():
    along, across = spread_of_a_dot(lambda image: motion_blur(image, 12.0, 0.0))
    assert along == pytest.approx(12 / np.sqrt(12), rel=0.1)
    assert across < 0.2
    assert spread_of_a_dot(lambda image: motion_blur(image, 12.0, np.pi / 2))[0] < 0.2


def test_motion_blur_of_nothing_is_nothing(picture):
    np.testing.assert_array_equal(motion_blur(picture, 0.0, 1.0), picture)


def test_low_light_is_darker_and_noisier():
    flat = np.full((200, 200, 3), 150, np.uint8)
    rng = np.random.default_rng(0)
    bright, dark = low_light(flat, 1.0, rng), low_light(flat, 0.1, rng)
    assert bright.mean() == pytest.approx(150, abs=1)
    assert dark.mean() == pytest.approx(150 * 0.1 ** (1 / 2.2), rel=0.05)
    assert dark.std() / dark.mean() > 2 * bright.std() / bright.mean()


def test_noise_has_its_sigma():
    noisy = gaussian_noise(np.full((200, 200, 3), 128, np.uint8), 10.0, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(10, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=0.2)


def test_jpeg_loses_more_at_lower_quality(picture):
    errors = [np.abs(jpeg(picture, quality).astype(int) - picture).mean() for quality in (95, 50, 10)]
    assert 0 < errors[0] < errors[1] < errors[2] < 20


def test_spectrum_mixing_keeps_contents_and_takes_style(picture):
    bright = np.clip(picture.astype(int) + 60, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(mix_amplitude(picture, bright, 0.0), picture)
    np.testing.assert_array_equal(mix_amplitude(picture, picture, 1.0), picture)
    mixed = mix_amplitude(picture, bright, 1.0)
    assert mixed.mean() == pytest.approx(bright.mean(), abs=4)
    edges, mixed_edges = (np.diff(image.astype(float), axis=1).ravel() for image in (picture, mixed))
    assert np.corrcoef(edges, mixed_edges)[0, 1] > 0.9


@pytest.mark.parametrize("axis", [0, 1])
def test_spectrum_mixing_leaves_fine_detail_alone(axis):
    image = np.random.default_rng(0).integers(60, 200, (64, 64, 3)).astype(np.uint8)
    stripes = np.expand_dims(np.tile([0, 40, 0, -40], 16), (1 - axis, 2))
    np.testing.assert_array_equal(mix_amplitude(image, (image + stripes).astype(np.uint8), 1.0), image)


@pytest.mark.parametrize(
    ("share", "done"),
    [
        ("cutout", {"random_cutout"}),
        ("spectrum", {"mix_amplitude"}),
        ("low_light", {"low_light"}),
        ("blur", {"gaussian_blur", "motion_blur"}),
        ("noise", {"gaussian_noise"}),
        ("jpeg", {"jpeg"}),
    ],
)
def test_each_share_is_of_its_own_degradation(share, done, picture, monkeypatch):
    called = set()
    for name in ("random_cutout", "mix_amplitude", "low_light", "gaussian_blur", "motion_blur", "gaussian_noise", "jpeg"):
        real = getattr(augment, name)
        monkeypatch.setattr(augment, name, lambda *args, name=name, real=real, **kwargs: called.add(name) or real(*args, **kwargs))
    for seed in range(8):
        augment.Augmentation(**{share: 1.0}).degrade(picture, np.array([20.0, 30.0, 90.0, 100.0]), np.random.default_rng(seed), [picture])
    assert called == done


def test_cutouts_cover_what_they_should_and_nothing_else(picture):
    box = np.array([20.0, 30.0, 90.0, 100.0])
    shares = []
    for seed in range(60):
        cutout = random_cutout(np.random.default_rng(seed), picture, box, coverage=0.1)
        shares.append(cutout.mask.sum() / 70**2)
        v, u = np.nonzero(cutout.mask)
        assert 10 < u.mean() < 100
        assert 20 < v.mean() < 110
        over = cutout.over(picture)
        far = np.ones_like(cutout.mask)
        far[max(0, v.min() - 4) : v.max() + 5, max(0, u.min() - 4) : u.max() + 5] = False
        np.testing.assert_array_equal(over[far], picture[far])
        again = random_cutout(np.random.default_rng(seed), picture, box, coverage=0.1)
        np.testing.assert_array_equal(again.over(picture), over)
    assert np.median(shares) == pytest.approx(0.1, rel=0.15)


def test_cutouts_outside_of_the_picture_do_no_harm(picture):
    cutout = random_cutout(np.random.default_rng(0), picture, np.array([-300.0, -300.0, -200.0, -200.0]), coverage=0.1)
    np.testing.assert_array_equal(cutout.over(picture), picture)
