"""Make docs/readme.webp: the rendered example, the mesh over it, and the mesh turning.

python examples/make_readme_picture.py
"""

from pathlib import Path

import numpy as np

from occhand import Predictor
from occhand.detect import read_keypoints
from occhand.image_io import load_image
from occhand.render.draw import draw_label
from occhand.render.gallery import save_animation, turntable

HERE = Path(__file__).parent


def main() -> None:
    photo = load_image(HERE / "rendered-hand.png")
    (hand,) = Predictor.from_pretrained("fit")(photo, keypoints=read_keypoints(HERE / "rendered-hand.json"))
    overlay = np.asarray(hand.draw(photo))
    window = np.s_[28:448, 125:545]  # the hand and some room, without the badges at the borders
    gap = np.full((420, 6, 3), 255, np.uint8)
    still = draw_label(np.hstack([photo[window], gap, overlay[window], gap]), "rendered, not a photograph")
    frames = [np.hstack([still, turning]) for turning in turntable(hand.vertices, hand.faces, frames=36, size=420)]
    save_animation(frames, HERE.parent / "docs" / "readme.webp", frames_per_second=15)


if __name__ == "__main__":
    main()
