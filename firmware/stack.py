#!/usr/bin/env python3
"""How deep the stack of a firmware program can get: the frames along the deepest way through its calls.

    stack.py [--limit BYTES] [--objdump PROGRAM] ELF

From the disassembly: what each function pushes and reserves, and whom it calls. Fails if there is a way
that cannot be followed (recursion, a call by address), if a panic is in the program, or if the limit is
exceeded. What an interrupt handler adds (its own way, and the 104 bytes that the processor saves with
floating point) comes on top, and is counted for each handler that is in the program.
"""

import argparse
import re
import subprocess
import sys

EXCEPTION_FRAME = 104


def registers(text):
    """How many registers a list such as 'r4, r5, s16-s19' has."""
    count = 0
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        count += int(last[1:]) - int(first[1:]) + 1 if last else 1
    return count


def reserves(operation, operands):
    """The bytes by which an instruction moves the stack pointer down."""
    if operation.startswith(("push", "stmdb", "vpush")):
        listed = re.search(r"\{(.*)\}", operands)
        if listed and (operation.startswith(("push", "vpush")) or operands.startswith("sp!")):
            size = 8 if operation.startswith("vpush") and listed[1].startswith("d") else 4
            return size * registers(listed[1])
    if operation.startswith("sub") and operands.startswith("sp,"):
        number = re.search(r"#(\d+)", operands)
        if not number:
            raise SystemExit(f"stack.py: the stack is moved by a register: {operation} {operands}")
        return int(number[1])
    before = re.search(r"\[sp, #-(\d+)\]!", operands)
    return int(before[1]) if before else 0


def read(objdump, program):
    """Of each function: its frame, the functions that it calls, and whether it calls by address."""
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", program], capture_output=True, text=True, check=True)
    functions, here = {}, None
    for line in text.stdout.splitlines():
        if begin := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            here = functions.setdefault(begin[1], {"frame": 0, "calls": set(), "by_address": []})
            name = begin[1]
            continue
        instruction = re.match(r"\s*[0-9a-f]+:\s+([a-z0-9.]+)\s*(.*)", line)
        if not instruction or here is None:
            continue
        operation, operands = instruction[1], instruction[2]
        here["frame"] += reserves(operation, operands)
        target = re.search(r"<([^+>]*)>", operands)
        if re.match(r"b(l|[a-z]{2})?(\.[nw])?$|cbn?z$", operation) and target and target[1] != name:
            here["calls"].add(target[1])
        elif operation == "blx" or operation == "bx" and operands.split()[0] != "lr":
            here["by_address"].append(line.strip())
    return functions


def deepest(functions, name, way=()):
    """The depth from a function on, and the way there."""
    if name in way:
        raise SystemExit("stack.py: recursion: " + " > ".join(way[way.index(name):] + (name,)))
    function = functions[name]
    if "deepest" not in function:
        if function["by_address"]:
            raise SystemExit(f"stack.py: {name} calls by address: {function['by_address'][0]}")
        below = [deepest(functions, called, way + (name,)) for called in function["calls"] if called in functions]
        depth, rest = max(below, default=(0, []))
        function["deepest"] = (function["frame"] + depth, [name] + rest)
    return function["deepest"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int)
    parser.add_argument("--objdump", default="arm-none-eabi-objdump")
    parser.add_argument("program")
    arguments = parser.parse_args()
    functions = read(arguments.objdump, arguments.program)
    panics = [name for name in functions if "panic" in name]
    if panics:
        raise SystemExit("stack.py: there are panics in it: " + ", ".join(panics))
    depth, way = deepest(functions, "Reset")
    for handler in ("SysTick", "USART1", "DefaultHandler_"):
        if handler in functions:
            depth += EXCEPTION_FRAME + deepest(functions, handler)[0]
    for name in way:
        print(f"{functions[name]['frame']:6}  {name}")
    print(f"{depth:6}  bytes of stack at most, an exception's frame included")
    if arguments.limit is not None and depth > arguments.limit:
        raise SystemExit(f"stack.py: more than the {arguments.limit} bytes that are promised")


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    main()
