"""One engine that anchorwatch is compared with, for src/bin/engines.rs.

Arguments: engine (onnxruntime, onnxruntime-exact, openvino, ncnn), model, threads, input (f32
C*H*W, normalised, little endian). Prints one JSON line when it is ready: {"version", "logits",
"load_ms", "memory_mib"}; then for each line "N" on standard input runs the network N times and
prints the seconds of each as a JSON array. Only the network is timed: the input is ready, in the
form the engine likes best.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import time

engine, model, threads, input_path = sys.argv[1:]
threads = int(threads)


def memory_mib(field):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024


def model_input():
    import numpy
    import onnx

    (value,) = onnx.load(model).graph.input
    shape = [dimension.dim_value or 1 for dimension in value.type.tensor_type.shape.dim]
    return numpy.fromfile(input_path, dtype="<f4").reshape(shape)


def onnxruntime_session(exact):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if exact:
        # QDQ is then computed in float, as ONNX defines it.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    begin = time.perf_counter()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - begin
    binding = session.io_binding()
    picture = model_input()
    value = onnxruntime.OrtValue.ortvalue_from_numpy(picture)
    binding.bind_ortvalue_input(session.get_inputs()[0].name, value)
    binding.bind_output(session.get_outputs()[0].name)

    def run():
        session.run_with_iobinding(binding)

    def logits():
        run()
        return binding.copy_outputs_to_cpu()[0]

    return onnxruntime.__version__, load, run, logits


def openvino_request():
    import openvino

    core = openvino.Core()
    begin = time.perf_counter()
    # As a user of an edge board would set it: the fewest milliseconds for one picture. The default
    # of the CPU plugin rounds f32 models to bf16 where the processor has it; f32 is what was asked.
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(core.read_model(model), "CPU", hints)
    load = time.perf_counter() - begin
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(model_input()))

    def logits():
        request.infer()
        return request.get_output_tensor().data

    return openvino.__version__, load, request.infer, logits


def ncnn_net():
    import ncnn
    import numpy

    folder = tempfile.TemporaryDirectory()
    copy = pathlib.Path(folder.name) / "model.onnx"
    copy.write_bytes(pathlib.Path(model).read_bytes())
    binary = pathlib.Path(importlib.util.find_spec("pnnx").origin).parent / "pnnx"
    picture = model_input()
    shape = "[" + ",".join(str(size) for size in picture.shape) + "]f32"
    command = [str(binary), str(copy), f"inputshape={shape}", "fp16=0"]
    made = subprocess.run(command, cwd=folder.name, capture_output=True, text=True)
    parameters = copy.with_name("model.ncnn.param")
    if not parameters.exists():
        raise RuntimeError("pnnx cannot convert it: " + (made.stdout + made.stderr)[-300:])
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_arithmetic = False
    begin = time.perf_counter()
    net.load_param(str(parameters))
    net.load_model(str(copy.with_name("model.ncnn.bin")))
    load = time.perf_counter() - begin
    mat = ncnn.Mat(numpy.ascontiguousarray(picture[0])).clone()

    def logits():
        extractor = net.create_extractor()
        extractor.input("in0", mat)
        return numpy.array(extractor.extract("out0")[1])

    return ncnn.__version__, load, logits, logits


def main():
    set_up = {
        "onnxruntime": lambda: onnxruntime_session(False),
        "onnxruntime-exact": lambda: onnxruntime_session(True),
        "openvino": openvino_request,
        "ncnn": ncnn_net,
    }[engine]
    # The modules themselves are no part of what an engine needs.
    __import__({"onnxruntime-exact": "onnxruntime"}.get(engine, engine))
    model_input()
    before = memory_mib("VmRSS")
    version, load, run, logits = set_up()
    values = [float(value) for value in logits().reshape(-1)]
    used = memory_mib("VmHWM") - before
    ready = {"version": version, "logits": values, "load_ms": load * 1e3, "memory_mib": used}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
        print(json.dumps(seconds), flush=True)


try:
    main()
except Exception as error:  # told to the caller, who leaves the engine out
    print(json.dumps({"error": f"{type(error).__name__}: {error}"[:400]}), flush=True)
    sys.exit(1)
