"""Quantized models made by onnxruntime's own quantizer, for tests/quantized_elsewhere.rs.

Argument: a folder. Of each case it gets NAME.onnx (with an anchorwatch block), NAME.pixels (pictures
as bytes, H*W*C each) and NAME.logits (f32, as onnxruntime computes QDQ in float: graph optimisation
off). Prints a JSON object a case: name and the quantization step of the logits.
"""

import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

SIZE = 32
PICTURES = 8
CLASSES = 5
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Network:
    """Builds an ONNX graph with random weights, layer after layer."""

    def __init__(self, seed, opset):
        self.random = numpy.random.default_rng(seed)
        self.opset, self.nodes, self.constants, self.count = opset, [], [], 0

    def name(self):
        self.count += 1
        return f"t{self.count}"

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind, inputs, **attributes):
        output = self.name()
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{output}", **attributes))
        return output

    def conv(self, x, inputs, outputs, kernel, stride=1, groups=1, bias=True):
        fan_in = inputs // groups * kernel * kernel
        shape = (outputs, inputs // groups, kernel, kernel)
        weights = self.random.normal(0, (2 / fan_in) ** 0.5, shape).astype(numpy.float32)
        # Channels of very different size: what per-channel scales are for.
        weights *= self.random.uniform(0.3, 1.7, (outputs, 1, 1, 1)).astype(numpy.float32)
        names = [x, self.constant(weights)]
        if bias:
            names.append(self.constant(self.random.normal(0, 0.1, outputs).astype(numpy.float32)))
        pad = kernel // 2
        return self.add("Conv", names, strides=[stride] * 2, pads=[pad] * 4, group=groups)

    def relu6(self, x):
        low, high = (self.constant(numpy.float32(value)) for value in (0, 6))
        return self.add("Clip", [x, low, high])

    def head(self, x, inputs, mean):
        if mean == "ReduceMean":
            axes = {"axes": [2, 3]} if self.opset < 18 else {}
            names = [x] if axes else [x, self.constant(numpy.array([2, 3], numpy.int64))]
            x = self.add("ReduceMean", names, keepdims=1, **axes)
        else:
            x = self.add("GlobalAveragePool", [x])
        x = self.add("Flatten", [x])
        weights = self.random.normal(0, (1 / inputs) ** 0.5, (CLASSES, inputs)).astype(numpy.float32)
        bias = self.random.normal(0, 0.1, CLASSES).astype(numpy.float32)
        return self.add("Gemm", [x, self.constant(weights), self.constant(bias)], transB=1)

    def model(self, logits):
        self.nodes[-1].output[0] = "logits"
        pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
        output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])
        graph = helper.make_graph(self.nodes, "network", [pixels], [output], self.constants)
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def mobilenet(seed, opset):
    """As MobileNetV2: inverted residuals with ReLU6."""
    net = Network(seed, opset)
    x, channels = net.relu6(net.conv("pixels", 3, 16, 3, stride=2)), 16
    for outputs, stride, expansion in [(16, 1, 1), (24, 2, 4), (24, 1, 4), (40, 2, 4), (40, 1, 4)]:
        start, inner = x, channels * expansion
        if expansion > 1:
            x = net.relu6(net.conv(x, channels, inner, 1))
        x = net.relu6(net.conv(x, inner, inner, 3, stride, groups=inner))
        x = net.conv(x, inner, outputs, 1)
        if stride == 1 and channels == outputs:
            x = net.add("Add", [start, x])
        channels = outputs
    x = net.relu6(net.conv(x, channels, 96, 1))
    return net.model(net.head(x, 96, "ReduceMean"))


def resnet(seed, opset):
    """As ResNet: a 7x7 stem, max pooling, basic blocks with projections."""
    net = Network(seed, opset)
    x = net.add("Relu", [net.conv("pixels", 3, 16, 7, stride=2)])
    x, channels = net.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 16
    for outputs, stride in [(16, 1), (32, 2), (32, 1), (48, 2)]:
        start = x
        x = net.add("Relu", [net.conv(x, channels, outputs, 3, stride)])
        x = net.conv(x, outputs, outputs, 3)
        if stride != 1 or channels != outputs:
            start = net.conv(start, channels, outputs, 1, stride, bias=False)
        x = net.add("Relu", [net.add("Add", [x, start])])
        channels = outputs
    return net.model(net.head(x, channels, "GlobalAveragePool"))


class Reader(CalibrationDataReader):
    def __init__(self, inputs):
        self.inputs = iter([{"pixels": value} for value in inputs])

    def get_next(self):
        return next(self.inputs, None)


def normalised(pixels):
    mean, std = (numpy.asarray(value, dtype=numpy.float32) for value in (MEAN, STD))
    return ((pixels.astype(numpy.float32) / numpy.float32(255) - mean) / std).transpose(0, 3, 1, 2)


def block():
    """Enough of a block for the runtime: the test looks at the logits alone."""
    return {
        "version": 1, "name": "made elsewhere", "classes": [f"class {n}" for n in range(CLASSES)],
        "centres": numpy.eye(CLASSES).tolist(),
        "input": {"width": SIZE, "height": SIZE, "colour": "rgb", "resize": "stretch", "mean": MEAN, "std": STD},
        "threshold": {"value": 1.0, "target_tpr": 0.95, "measured_tpr": 0.95, "pictures": 1, "source": "none"},
        "known_scores": [], "golden": [],
        "training": {"tool": "", "command": "", "date": "", "backbone": "", "seed": 0, "epochs": 0.0,
                     "train_pictures": [], "data": "", "licence": "", "precision": "int8", "metrics": {}},
    }


def pictures(seed):
    """Smooth random pictures, so that the activations are not all noise."""
    random = numpy.random.default_rng(seed)
    coarse = random.integers(0, 256, (PICTURES, 4, 4, 3)).astype(numpy.float32)
    smooth = coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)
    noise = random.normal(0, 12, smooth.shape)
    return numpy.clip(smooth + noise, 0, 255).astype(numpy.uint8)


def main(folder):
    combinations = [(kind, channel) for kind in (QuantType.QUInt8, QuantType.QInt8) for channel in (True, False)]
    # All combinations in the oldest and the newest opset, and each opset in between with one of them.
    settings = [(*combination, opset) for opset in (13, 21) for combination in combinations]
    settings += [(*combinations[opset % 4], opset) for opset in range(14, 21)]
    cases = [(build, *setting) for build in (mobilenet, resnet) for setting in settings]
    for number, (build, activations, per_channel, opset) in enumerate(cases):
        signed = "s8" if activations == QuantType.QInt8 else "u8"
        name = f"{build.__name__}-{signed}-{'channel' if per_channel else 'tensor'}-opset{opset}"
        path = folder / f"{name}.onnx"
        onnx.save(build(number, opset), folder / "float.onnx")
        quantize_static(
            folder / "float.onnx", path, Reader(normalised(pictures(100 + number))[:, None]),
            quant_format=QuantFormat.QDQ, activation_type=activations, weight_type=QuantType.QInt8,
            per_channel=per_channel,
        )
        model = onnx.load(path)
        entry = model.metadata_props.add()
        entry.key, entry.value = "anchorwatch", json.dumps(block())
        onnx.save(model, path)

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        pixels = pictures(200 + number)
        logits = [session.run(None, {"pixels": value[None]})[0] for value in normalised(pixels)]
        pixels.tofile(folder / f"{name}.pixels")
        numpy.concatenate(logits).astype(numpy.float32).tofile(folder / f"{name}.logits")
        last = next(node for node in model.graph.node if "logits" in node.output)
        scales = {tensor.name: tensor for tensor in model.graph.initializer}
        step = float(numpy_helper.to_array(scales[last.input[1]]).reshape(-1)[0])
        print(json.dumps({"name": name, "step": step}))


main(pathlib.Path(sys.argv[1]))
