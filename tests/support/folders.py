"""Folders of small images, one for each class."""

import numpy as np
from PIL import Image


def make_folder(root, classes=("cat", "dog"), train=4, test=2, size=(8, 8), mode="RGB"):
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
                pixels = generator.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root
