"""Logits of a model in onnxruntime, for tests/same_in_onnxruntime.rs.

Arguments: model, picture bytes (H*W*C each, one after another), where the logits go (f32).
Graph optimisation is off, so that QDQ is computed in float, as ONNX defines it: onnxruntime's own
int8 kernels saturate on processors with AVX2 but without VNNI.
"""

import json
import sys

import numpy
import onnxruntime

model, pictures, output = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
block = json.loads(session.get_modelmeta().custom_metadata_map["anchorwatch"])["input"]
channels = len(block["mean"])
pixels = numpy.fromfile(pictures, dtype=numpy.uint8)
pixels = pixels.reshape(-1, block["height"], block["width"], channels)
mean, std = (numpy.asarray(block[key], dtype=numpy.float32) for key in ("mean", "std"))
with open(output, "wb") as file:
    for picture in pixels:
        normalised = (picture.astype(numpy.float32) / numpy.float32(255) - mean) / std
        name = session.get_inputs()[0].name
        (logits,) = session.run(None, {name: normalised.transpose(2, 0, 1)[None]})
        file.write(logits.astype(numpy.float32).tobytes())
