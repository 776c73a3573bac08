"""OpenCV's way from a camera's frame to what is not the network's work, for src/bin/frame.rs.

Arguments: threads, width, height, side (of the network's input), classes, input (YUYV bytes). Prints one
JSON line when it is ready: {"version", "pixels"}, the network's input as bytes; then for each line "N" on
standard input goes the way N times and prints the seconds of each as a JSON array.
"""

import collections
import json
import sys
import time


def main():
    import cv2
    import numpy

    threads, width, height, side, classes = (int(argument) for argument in sys.argv[1:6])
    cv2.setNumThreads(threads)
    yuyv = numpy.fromfile(sys.argv[6], dtype=numpy.uint8).reshape(height, width, 2)
    least = min(width, height)
    left, top = (width - least) // 2, (height - least) // 2
    centres = (numpy.eye(classes) * 10).astype(numpy.float32)
    logits = numpy.linspace(0, 10, classes, dtype=numpy.float32)
    mean, std = numpy.float32(0.45), numpy.float32(0.25)
    scale, zero_point = numpy.float32(1 / 0.02), numpy.float32(114)
    seen = collections.deque([False] * 8, maxlen=8)
    # What the model's normalisation and its first QuantizeLinear do, as a table: a byte has 256 values.
    levels = (numpy.arange(256, dtype=numpy.float32) / 255 - mean) / std
    table = numpy.clip(numpy.rint(levels * scale) + zero_point, 0, 255).astype(numpy.uint8)

    def prepare():
        rgb = cv2.cvtColor(yuyv, cv2.COLOR_YUV2RGB_YUY2)
        square = rgb[top : top + least, left : left + least]
        # INTER_AREA: the one that does not alias when it shrinks so much.
        return cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)

    def run():
        cv2.LUT(prepare(), table)
        distances = numpy.linalg.norm(centres - logits, axis=1)
        nearness = numpy.exp(distances.min() - distances)
        scores = distances * (1 - nearness / nearness.sum())
        seen.append(bool(scores.min() > 0.5))
        return sum(seen) >= 5

    run()
    pixels = prepare().reshape(-1).tolist()
    print(json.dumps({"version": cv2.__version__, "pixels": pixels}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
        print(json.dumps(seconds), flush=True)


try:
    main()
except Exception as error:  # told to the caller
    print(json.dumps({"error": f"{type(error).__name__}: {error}"[:400]}), flush=True)
    sys.exit(1)
