#!/usr/bin/env python3
"""Closes the loop on CIFAR-10: what a run logs as unknown is grouped, one class is learned from
twenty of its pictures on the device, and the same is tried by training again.

    train/close-the-loop.py --cifar10 DIR --model MODEL --work WORK [--retrain]

DIR has train/CLASS/*.jpg and test/CLASS/*.jpg. MODEL knows some of the ten classes (those of the
paper's trial 0: `anchorwatch-train fit --known bird,cat,deer,frog,ship,truck`). Of the others, the first half
of the test pictures is what the field unit sees, and the second half is measured with. The programs are taken from
${CARGO_TARGET_DIR:-target}/release. Prints Markdown.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

FEW = 20
COPIES = 25


def program(name):
    return str(Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / name)


def output(*command):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def links(folder, pictures):
    """A folder with links to pictures, new each time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for picture in pictures:
        (folder / picture.name).symlink_to(picture.resolve())


def pictures_of(folder):
    return sorted(folder.glob("*.jpg"))


def evaluated(model, known, unknown):
    return json.loads(output(program("anchorwatch"), "eval", "--model", model, "--known", known, "--unknown", unknown, "--json"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("cifar10", "model", "work"):
        arguments.add_argument(f"--{flag}", type=Path, required=True)
    arguments.add_argument("--retrain", metavar="CLASS", help="train again with this class, as MODEL was trained")
    arguments.add_argument("fit", nargs="*", help="after --: what 'anchorwatch-train fit' is told beside the data")
    arguments = arguments.parse_args()
    data, model, work = arguments.cifar10, arguments.model, arguments.work

    classes = json.loads(output(program("anchorwatch"), "inspect", model, "--json"))["metadata"]["classes"]
    others = sorted(folder.name for folder in (data / "test").iterdir() if folder.name not in classes)
    for name in classes:
        links(work / "known" / name, pictures_of(data / "test" / name))
    for name in others:
        seen = pictures_of(data / "test" / name)
        links(work / "field" / name, seen[: len(seen) // 2])
        links(work / "held" / name, seen[len(seen) // 2 :])

    log = work / "log"
    shutil.rmtree(log, ignore_errors=True)
    output(program("anchorwatch"), "run", "--quiet", "--model", model, "--source", f"{work}/field/*/*.jpg", "--events", log)
    events = [json.loads(line) for line in output(program("anchorwatch"), "log", log, "--export", "jsonl").splitlines()]
    flagged = {name: [] for name in others}
    for event in sorted(events, key=lambda event: event["source"]):
        flagged[Path(event["source"]).parent.name].append(log / event["crop"])
    print(f"Known: {', '.join(classes)}. The field unit saw {sum(len(pictures_of(work / 'field' / name)) for name in others)}")
    print(f"pictures of {', '.join(others)}, and logged {len(events)} as unknown.\n")
    print("```text")
    print(output(program("examples/agreement"), log), end="")
    print("```\n")

    print(f"| enrolled from {FEW} logged pictures | its accuracy | accepted | accuracy on the known, before | after | known flagged, before | after | AUROC for the rest, before | after |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in others:
        rest = work / f"rest-{name}"
        shutil.rmtree(rest, ignore_errors=True)
        for other in others:
            if other != name:
                links(rest / other, pictures_of(work / "held" / other))
        few = work / f"few-{name}"
        # Evenly over what was logged.
        logged = flagged[name]
        if len(logged) < FEW:
            print(f"| {name} | only {len(logged)} were logged |")
            continue
        links(few / name, [logged[at * len(logged) // FEW] for at in range(FEW)])
        enrolled = work / f"enrolled-{name}.onnx"
        output(program("anchorwatch"), "enroll", model, "--name", name, "--from", few / name, "--output", enrolled, "--force")
        before, after = evaluated(model, work / "known", rest), of_seven(enrolled, work, classes, name, rest)
        line(name, before, after, classes)
        if arguments.retrain == name:
            retrained = retrain(arguments, work, data, classes, name, few, rest)
            line(f"{name}, trained again", before, of_seven(retrained, work, classes, name, rest), classes)


def of_seven(model, work, classes, name, rest):
    """The figures of a model that knows one class more."""
    known = work / f"known-with-{name}"
    shutil.rmtree(known, ignore_errors=True)
    known.mkdir()
    for old in classes:
        (known / old).symlink_to((work / "known" / old).resolve())
    (known / name).symlink_to((work / "held" / name).resolve())
    return evaluated(model, known, rest)


def line(name, before, after, classes):
    def old(evaluation, figure):
        of = [one for one in evaluation["classes"] if one["class"] in classes]
        return sum(one[figure] * one["pictures"] for one in of) / sum(one["pictures"] for one in of)

    new = next(one for one in after["classes"] if one["class"] not in classes)
    print(
        f"| {name} | {new['accuracy']:.3f} | {new['tpr']:.3f} | {old(before, 'accuracy'):.3f} | {old(after, 'accuracy'):.3f} "
        f"| {1 - old(before, 'tpr'):.3f} | {1 - old(after, 'tpr'):.3f} | {before['auroc']:.3f} | {after['auroc']:.3f} |",
        flush=True,
    )


def retrain(arguments, work, data, classes, name, few, rest):
    """A model trained with the few pictures as a class like the others."""
    mixed = work / f"train-with-{name}"
    shutil.rmtree(mixed, ignore_errors=True)
    for part in ("train", "test"):
        (mixed / part).mkdir(parents=True)
        for old in classes:
            (mixed / part / old).symlink_to((data / part / old).resolve())
    # Each picture many times, or the class would be lost beside thousands of others.
    (mixed / "train" / name).mkdir()
    for picture in pictures_of(few / name):
        for copy in range(COPIES):
            (mixed / "train" / name / f"{copy}-{picture.name}").symlink_to(picture.resolve())
    (mixed / "test" / name).symlink_to((work / "held" / name).resolve())
    out = work / f"retrained-{name}"
    command = [program("anchorwatch-train"), "fit", "--data", mixed, "--unknown", rest, "--out", out, *arguments.fit]
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)
    return out / "model.onnx"


main()
