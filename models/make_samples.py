"""Crops, shrinks and encodes the originals that fetch-samples.sh has unpacked.

    make_samples.py ORIGINALS SAMPLES
"""

import sys
from pathlib import Path

import cv2
import numpy as np

AVATARS = "usr/share/plasma/avatars/photos/"
PUZZLES = "usr/share/palapeli/collection/"
JIGSAW = "usr/share/puzzle-jigsaw/samples/"
SCIKIT = "skimage/data/"

# Sample: (original, crop as x, y, width, height, or None for all of it)
PICTURES = {
    "known/bee-1": (PUZZLES + "european-honey-bee.jpg", (90, 200, 860, 860)),
    "known/car-1": (AVATARS + "Car.png", None),
    "known/cat-1": (SCIKIT + "chelsea.png", None),
    "known/cat-2": (AVATARS + "Cat.png", None),
    "known/cat-3": (JIGSAW + "cat-animal-cat-portrait-mackerel.jpg", None),
    "known/dog-1": (AVATARS + "Dog.png", None),
    "known/espresso-1": (SCIKIT + "coffee.png", (80, 0, 400, 400)),
    "known/goldfish-1": (AVATARS + "Fish.png", None),
    "known/orange-1": (PUZZLES + "citrus-fruits.jpg", (524, 490, 400, 400)),
    "known/suspension-bridge-1": (PUZZLES + "cincinnati-bridge.jpg", None),
    "unknown/astronaut-1": (AVATARS + "Astronaut.png", None),
    "unknown/chameleon-1": (AVATARS + "Chameleon.png", None),
    "unknown/gamepad-1": (AVATARS + "Gamepad.png", None),
    "unknown/hot-air-balloon-1": (AVATARS + "Air Balloon.png", None),
    "unknown/owl-1": (AVATARS + "Owl.png", None),
    "unknown/pencils-1": (AVATARS + "Pencils.png", None),
    "unknown/space-shuttle-1": (AVATARS + "Shuttle.png", None),
    "unknown/sunflower-1": (AVATARS + "Sunflower.png", None),
    "unknown/sushi-1": (AVATARS + "Sushi.png", None),
}
LONGEST = 480
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]

# The clip: each picture stays long enough for an event to be raised, and to be cleared.
CLIP = [
    "known/cat-1",
    "unknown/gamepad-1",
    "known/espresso-1",
    "unknown/chameleon-1",
    "known/dog-1",
    "unknown/hot-air-balloon-1",
    "known/goldfish-1",
]
CLIP_SIZE = (256, 192)
FRAMES_EACH = 10
FRAMES_A_SECOND = 8


def shrink(picture, scale):
    height, width = picture.shape[:2]
    size = (round(width * scale), round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture


def sample(original, crop):
    picture = cv2.imread(str(original), cv2.IMREAD_COLOR)
    if picture is None:
        sys.exit(f"make_samples: {original}: not there, or not a picture")
    if crop:
        x, y, width, height = crop
        picture = picture[y : y + height, x : x + width]
    return shrink(picture, LONGEST / max(picture.shape[:2]))


def panned(picture):
    """The camera moves slowly over the picture."""
    width, height = CLIP_SIZE
    scale = max(width / picture.shape[1], height / picture.shape[0]) * 1.08
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    large = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    for step in np.linspace(0, 1, FRAMES_EACH):
        x = round((size[0] - width) * step)
        y = round((size[1] - height) / 2)
        yield large[y : y + height, x : x + width]


def main():
    originals, samples = map(Path, sys.argv[1:])
    pictures = {name: sample(originals / file, crop) for name, (file, crop) in PICTURES.items()}
    for name, picture in pictures.items():
        file = samples / f"{name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), picture, JPEG)

    # OpenCV's own writer: Motion JPEG in AVI, without any codec library.
    clip = cv2.VideoWriter(
        str(samples / "demo.avi"),
        cv2.CAP_OPENCV_MJPEG,
        cv2.VideoWriter_fourcc(*"MJPG"),
        FRAMES_A_SECOND,
        CLIP_SIZE,
    )
    for name in CLIP:
        for frame in panned(pictures[name]):
            clip.write(frame)
    clip.release()


main()
