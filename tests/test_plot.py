"""Charts: round ticks, and the same figure as SVG and as pixels."""

import numpy as np
import pytest

from occhand.plot import Area, Axes, Dot, Figure, Label, Path, round_ticks


def test_ticks_are_round():
    assert round_ticks(0.0, 23.0) == [0, 5, 10, 15, 20]
    assert round_ticks(0.0, 0.7) == [0, 0.2, 0.4, 0.6]
    assert round_ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
    assert round_ticks(0.0, 11.0) == [0, 2.5, 5, 7.5, 10]
    assert round_ticks(-7.0, 7.0) == [-5, 0, 5]


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
    assert 'aria-label="a &lt; b"' in figure.svg()


def test_heights_beyond_the_axis_stay_on_its_edge():
    axes = Axes(Figure(100.0, 100.0, ""), (0.0, 10.0), (0.0, 5.0), (10.0, 20.0, 30.0, 40.0))
    assert [axes.at(*point) for point in ((0.0, 0.0), (10.0, 5.0), (5.0, 9.0), (5.0, -2.0))] == [(10, 60), (70, 20), (40, 20), (40, 60)]


def test_dashes_follow_the_line_round_its_corners():
    figure = Figure(40.0, 40.0, "")
    figure.add(Path([(5.0, 5.0), (15.0, 5.0), (15.0, 35.0)], "#ff0000", 2.0, (12.0, 6.0)))
    red = (np.asarray(figure.png()) == (255, 0, 0)).all(2)[::2, ::2]
    assert red[5, 6:14].all()
    assert red[8:12, 15].tolist() == [False] * 4  # between 12 and 18 along the line
    assert red[14:24, 15].all()
    assert 'stroke-dasharray="12 6"' in figure.svg()


def test_translucent_shapes_show_what_is_below_them_up_to_the_border():
    figure = Figure(60.0, 40.0, "")
    figure.add(
        Area([(-5.0, -5.0), (10.0, -5.0), (10.0, 10.0), (-5.0, 10.0)], "#000000", 0.2),
        Dot((55, 30), 8, "#000000", 0.4),
        Dot((0, 35), 4, "#00ff00"),
    )
    picture = np.asarray(figure.png())
    assert picture[6, 6].tolist() == [204] * 3
    assert picture[60, 110].tolist() == [153] * 3
    assert picture[70, 2].tolist() == [0, 255, 0]
    assert figure.svg().count('fill-opacity="0.2"') == figure.svg().count('fill-opacity="0.4"') == 1
    assert "<title>" not in figure.svg()


@pytest.mark.parametrize(("anchor", "sides"), [("start", (False, True)), ("middle", (True, True)), ("end", (True, False))])
def test_labels_stand_on_the_side_of_their_anchor(anchor, sides):
    figures = [Figure(120.0, 40.0, "") for _ in range(2)]
    for figure, bold in zip(figures, (False, True), strict=True):
        figure.add(Label((60, 30), "HHHH", anchor=anchor, bold=bold))
    plain, thick = (np.asarray(figure.png()).mean(2) < 128 for figure in figures)
    assert (plain[:, :118].any(), plain[:, 122:].any()) == sides
    assert thick.sum() > 1.05 * plain.sum()
    assert 'font-weight="600"' in figures[1].svg()
    assert 'font-weight="600"' not in figures[0].svg()


def test_a_frame_names_its_axes_and_ticks():
    figure = Figure(200.0, 150.0, "")
    axes = Axes(figure, (0.0, 4.0), (-1.0, 1.0))
    axes.draw_frame("share", "error", x_ticks=(1.5, 4.0))
    labels = {shape.text: shape.at for shape in figure.shapes if isinstance(shape, Label)}
    assert list(labels) == ["-1", "-0.5", "0", "0.5", "1", "1.5", "4", "share", "error"]
    assert labels["error"][1] < labels["1"][1] < labels["0"][1] < labels["-1"][1] < labels["share"][1]
    assert labels["4"][0] == axes.at(4.0, 0.0)[0]


def test_a_band_lies_between_its_lines():
    figure = Figure(100.0, 100.0, "")
    axes = Axes(figure, (0.0, 1.0), (0.0, 1.0), (10.0, 10.0, 10.0, 10.0))
    axes.draw_band(np.array([0.0, 1.0]), np.array([0.2, 0.2]), np.array([0.8, 0.8]), "#000000")
    drawn = np.asarray(figure.png())[..., 0] < 255
    for x, y, is_in in ((0.05, 0.5, True), (0.95, 0.5, True), (0.5, 0.75, True), (0.5, 0.9, False), (0.5, 0.1, False)):
        column, row = (round(2 * value) for value in axes.at(x, y))
        assert drawn[row, column] == is_in, (x, y)
    axes.draw_band(np.array([0.0]), np.zeros(1), np.ones(1), "#000000")
    axes.draw_line(np.array([0.0]), np.zeros(1), "#000000")
    assert len(figure.shapes) == 1
