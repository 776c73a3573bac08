#!/usr/bin/env python3
"""Pictures a second of the training loop, ours beside PyTorch's, on the same pictures and network.

    PEERS_PYTHON="$(scripts/setup-python.sh torch pillow)"
    cargo build --release --workspace --bin anchorwatch-train
    "$PEERS_PYTHON" benches/training.py --data DIR [--backbone resnet|cac9] [--precision f32|bf16] [--threads N]

DIR has train/CLASS/* and test/CLASS/*, such as CIFAR-10; its first two classes are trained on at 32x32 pixels, and the third
stands for what is unknown. The two take turns, and each does the same steps, the first ones included: batches of 128, shifts
and flips, the CAC loss, Nesterov momentum, one-cycle schedule, channels last. PyTorch's side is written as one would for
speed: the pictures are decoded before, whole batches are varied on tensors, and the optimiser works on all tensors at once.
Prints the best of each and the ratio.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 128
SIZE = 32
PEAK = 0.05


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--backbone", choices=["resnet", "cac9"], default="resnet")
    arguments.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--steps", type=int, default=40)
    arguments.add_argument("--rounds", type=int, default=4)
    arguments = arguments.parse_args()
    classes = sorted(folder.name for folder in (arguments.data / "train").iterdir())[:3]
    files = [(path, index) for index, name in enumerate(classes[:2]) for path in sorted((arguments.data / "train" / name).iterdir())]
    if len(files) < BATCH:
        sys.exit(f"'{arguments.data}/train' has fewer than {BATCH} pictures of {', '.join(classes[:2])}")

    import torch

    torch.set_num_threads(arguments.threads)
    theirs_loop = Loop(torch, files, arguments)
    ours, theirs = [], []
    for number in range(arguments.rounds):
        rate, parameters = run_ours(arguments, classes, len(files))
        if parameters != theirs_loop.parameters():
            sys.exit(f"the networks differ: {parameters} parameters, PyTorch's has {theirs_loop.parameters()}")
        ours.append(rate)
        theirs.append(theirs_loop.rate(arguments.steps))
        print(f"round {number + 1}: ours {ours[-1]:.0f}, PyTorch {theirs[-1]:.0f} pictures/s", file=sys.stderr)
    print(
        f"{arguments.backbone}, {arguments.precision}, {arguments.threads} thread(s), {arguments.steps} steps of {BATCH}: "
        f"ours {max(ours):.0f} pictures/s, PyTorch {torch.__version__} {max(theirs):.0f}, ours ÷ PyTorch {max(ours) / max(theirs):.2f}"
    )


def run_ours(arguments, classes, pictures):
    """Pictures a second that the trainer says, and its network's parameters."""
    program = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "anchorwatch-train"
    epochs = arguments.steps / (pictures // BATCH)
    with tempfile.TemporaryDirectory() as out:
        command = [
            program, "fit", "--data", arguments.data, "--known", ",".join(classes[:2]), "--unknown", classes[2], "--out", out,
            "--backbone", arguments.backbone, "--size", SIZE, "--epochs", epochs, "--batch", BATCH, "--augment", "light",
            "--learning-rate", PEAK, "--precision", arguments.precision, "--threads", arguments.threads,
        ]  # fmt: skip
        said = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    rates = re.findall(r"^step (\d+)/\1 .* (\d+) pictures/s", said.stderr, re.MULTILINE)
    parameters = re.search(r"with (\d+) parameters", said.stderr)
    if not rates or not parameters:
        sys.exit(f"anchorwatch-train did not say how fast it was:\n{said.stderr}")
    return int(rates[-1][1]), int(parameters[1])


class Loop:
    """The same training in PyTorch."""

    def __init__(self, torch, files, arguments):
        from PIL import Image
        import numpy

        torch.manual_seed(1)
        self.torch = torch
        opened = [numpy.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE))) for path, _ in files]
        self.pictures = torch.from_numpy(numpy.stack(opened)).permute(0, 3, 1, 2)
        self.classes = torch.tensor([index for _, index in files])
        self.network = {"resnet": resnet, "cac9": cac9}[arguments.backbone](torch.nn, 2).to(memory_format=torch.channels_last)
        self.network.train()
        self.bf16 = arguments.precision == "bf16"

    def parameters(self):
        return sum(parameter.numel() for parameter in self.network.parameters())

    def rate(self, steps):
        torch = self.torch
        anchors = torch.eye(2) * 10
        optimiser = torch.optim.SGD(self.network.parameters(), PEAK, 0.9, weight_decay=5e-4, nesterov=True, foreach=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=steps, pct_start=0.2, cycle_momentum=False)
        order = torch.randperm(len(self.classes))
        start = time.perf_counter()
        for step in range(steps):
            indices = order[step * BATCH % (len(order) - BATCH) :][:BATCH]
            pictures, classes = self.varied(self.pictures[indices]), self.classes[indices]
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                logits = self.network(pictures)
            distances = torch.cdist(logits.float(), anchors)
            loss = torch.nn.functional.cross_entropy(-distances, classes) + 0.1 * distances.gather(1, classes[:, None]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            loss.item()
        return steps * BATCH / (time.perf_counter() - start)

    def varied(self, pictures):
        torch = self.torch
        affine = torch.zeros(BATCH, 2, 3)
        affine[:, 0, 0] = torch.randint(0, 2, (BATCH,)) * 2.0 - 1
        affine[:, 1, 1] = 1
        affine[:, :, 2] = torch.randint(-SIZE // 8, SIZE // 8 + 1, (BATCH, 2)) * 2.0 / SIZE
        grid = torch.nn.functional.affine_grid(affine, (BATCH, 3, SIZE, SIZE), align_corners=False)
        pictures = (pictures.float() / 255 - 0.45) / 0.25
        pictures = torch.nn.functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
        return pictures.contiguous(memory_format=torch.channels_last)


def convolution(nn, inputs, outputs, stride=1, activation=None):
    layers = [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([activation] if activation else []))


def cac9(nn, classes):
    widths = [3, 64, 64, 128, 128, 128, 128, 128, 128, 128]
    layers = [
        convolution(nn, widths[index], widths[index + 1], 2 if index % 3 == 2 else 1, nn.ReLU(inplace=True)) for index in range(9)
    ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * (SIZE // 8) ** 2, classes))


def resnet(nn, classes):
    class Block(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.down = convolution(nn, inputs, outputs, 2, nn.ReLU(inplace=True))
            self.first = convolution(nn, outputs, outputs, 1, nn.ReLU(inplace=True))
            self.second = convolution(nn, outputs, outputs)

        def forward(self, x):
            x = self.down(x)
            return (self.second(self.first(x)) + x).relu()

    return nn.Sequential(
        convolution(nn, 3, 32, 1, nn.ReLU(inplace=True)),
        *(Block(inputs, outputs) for inputs, outputs in [(32, 64), (64, 128), (128, 256)]),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


main()
