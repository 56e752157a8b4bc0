"""Charts: round ticks, and the same figure as SVG and as pixels."""

import numpy as np

from occhand.plot import Axes, Dot, Figure, Label, Path, round_ticks


def test_ticks_are_round():
    assert round_ticks(0.0, 23.0) == [0, 5, 10, 15, 20]
    assert round_ticks(0.0, 0.7) == [0, 0.2, 0.4, 0.6]


def test_both_writers_draw_the_same_figure():
    figure = Figure(120.0, 80.0, "a < b")
    axes = Axes(figure, (0.0, 1.0), (0.0, 1.0), (10.0, 10.0, 10.0, 10.0))
    figure.add(Path([axes.at(0.0, 0.0), axes.at(1.0, 1.0)], "#ff0000", 3), Dot(axes.at(0.2, 0.8), 6, "#0000ff", 1.0, "x & y"))
    figure.add(Label((60, 70), "n < 3", anchor="middle"))
    picture = np.asarray(figure.png()).astype(int)
    assert picture.shape == (160, 240, 3)
    x, y = (round(2 * value) for value in axes.at(0.5, 0.5))
    assert picture[y, x].tolist() == [255, 0, 0]
    x, y = (round(2 * value) for value in axes.at(0.2, 0.8))
    assert picture[y, x].tolist() == [0, 0, 255]
    assert "n &lt; 3" in figure.svg()
    assert "x &amp; y" in figure.svg()
