"""Noise on HandGCAT's 2D joints."""

import pytest
import torch

from occhand.data.transforms import JointNoise

JOINTS = torch.full((4000, 21, 2), 0.5)


def generator():
    return torch.Generator().manual_seed(0)


def test_share_and_size_of_the_noise():
    noise = JointNoise()(JOINTS, generator()) - JOINTS
    is_noisy = (noise != 0).flatten(1).any(1)
    assert is_noisy.float().mean() == pytest.approx(0.5, abs=0.03)
    assert noise[is_noisy].std() == pytest.approx(0.01, rel=0.02)
    assert (noise[is_noisy] != 0).all()


def test_no_probability_no_noise_and_same_seed_same_noise():
    torch.testing.assert_close(JointNoise(probability=0.0)(JOINTS, generator()), JOINTS, atol=0, rtol=0)
    torch.testing.assert_close(JointNoise()(JOINTS, generator()), JointNoise()(JOINTS, generator()), atol=0, rtol=0)
    assert JOINTS.unique().tolist() == [0.5]


@pytest.mark.parametrize("wrong", [{"sigma": -0.1}, {"probability": 1.5}])
def test_impossible_noise_is_refused(wrong):
    with pytest.raises(ValueError, match="expected sigma >= 0"):
        JointNoise(**wrong)
