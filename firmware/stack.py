#!/usr/bin/env python3
"""How deep the stack of a firmware program can get, and whether anything can panic.

    stack.py [--limit BYTES] [--turn NAME] [--by-address BYTES] ELF

From the disassembly: what each function pushes and reserves, and whom it calls. Fails if there is a way that
cannot be followed (recursion, a call by address), if the limit is exceeded, or if a panic can be reached: from
anywhere, or with --turn from the function whose name contains NAME, which is what the main loop does once the
hardware is set up. What an interrupt handler adds (its own way, and the 104 bytes that the processor saves with
floating point) comes on top, and is counted for each handler that is in the program.

With --by-address a call by address is taken for one of the boot ROM's routines (the Pico's floating point and
flash memory), with a stack of so many bytes.
"""

import argparse
import re
import subprocess
import sys

EXCEPTION_FRAME = 104
WORD = re.compile(r"\s*([0-9a-f]+):\s+\.word\s+0x([0-9a-f]+)")


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
    lines = text.stdout.splitlines()
    # Numbers between the functions: a Cortex-M0+ moves its stack by them when it is much.
    words = {int(word[1], 16): int(word[2], 16) for line in lines if (word := WORD.match(line))}
    functions, here, loaded = {}, None, {}
    for line in lines:
        if begin := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            here = functions.setdefault(begin[1], {"frame": 0, "calls": set(), "by_address": []})
            name, loaded = begin[1], {}
            continue
        instruction = re.match(r"\s*[0-9a-f]+:\s+([a-z0-9.]+)\s*(.*)", line)
        if not instruction or here is None:
            continue
        operation, operands = instruction[1], instruction[2]
        if literal := re.match(r"(r\d+), \[pc.*\(([0-9a-f]+)", operands):
            loaded[literal[1]] = words.get(int(literal[2], 16))
        if operation.startswith("add") and (moved := re.match(r"sp, (?:sp, )?(r\d+)", operands)):
            if loaded.get(moved[1]) is None:
                raise SystemExit(f"stack.py: the stack is moved by what is not known: {line.strip()}")
            here["frame"] += (1 << 32) - loaded[moved[1]] if loaded[moved[1]] >> 31 else 0
        here["frame"] += reserves(operation, operands)
        target = re.search(r"<([^+>]*)>", operands)
        if re.match(r"b(l|[a-z]{2})?(\.[nw])?$|cbn?z$", operation) and target and target[1] != name:
            here["calls"].add(target[1])
        elif operation == "blx" or operation == "bx" and operands.split()[0] != "lr":
            here["by_address"].append(line.strip())
    return functions


def deepest(functions, name, by_address, way=()):
    """The depth from a function on, and the way there."""
    if name in way:
        raise SystemExit("stack.py: recursion: " + " > ".join(way[way.index(name):] + (name,)))
    function = functions[name]
    if "deepest" not in function:
        below = []
        if function["by_address"]:
            if by_address is None:
                raise SystemExit(f"stack.py: {name} calls by address: {function['by_address'][0]}")
            below.append((by_address, ["(by address)"]))
        for called in function["calls"] & functions.keys():
            below.append(deepest(functions, called, by_address, way + (name,)))
        depth, rest = max(below, default=(0, []))
        function["deepest"] = (function["frame"] + depth, [name] + rest)
    return function["deepest"]


def reached(functions, name):
    """All functions that a function can get to, itself among them."""
    found, waiting = set(), [name]
    while waiting:
        here = waiting.pop()
        if here in functions and here not in found:
            found.add(here)
            waiting.extend(functions[here]["calls"])
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int)
    parser.add_argument("--turn")
    parser.add_argument("--by-address", type=int)
    parser.add_argument("--objdump", default="arm-none-eabi-objdump")
    parser.add_argument("program")
    arguments = parser.parse_args()
    functions = read(arguments.objdump, arguments.program)
    begin = [name for name in functions if arguments.turn in name] if arguments.turn else ["Reset"]
    if len(begin) != 1:
        raise SystemExit(f"stack.py: {len(begin)} functions are called {arguments.turn}")
    looked_at = reached(functions, begin[0]) if arguments.turn else functions.keys()
    panics = [name for name in looked_at if "panic" in name or "unwrap_failed" in name or "expect_failed" in name]
    if panics:
        raise SystemExit("stack.py: it can panic: " + ", ".join(panics))
    depth, way = deepest(functions, "Reset", arguments.by_address)
    for handler in ("SysTick", "USART1", "USART6", "DefaultHandler_"):
        if handler in functions:
            depth += EXCEPTION_FRAME + deepest(functions, handler, arguments.by_address)[0]
    for name in way:
        print(f"{functions[name]['frame'] if name in functions else arguments.by_address:6}  {name}")
    print(f"{depth:6}  bytes of stack at most, an exception's frame included")
    print(f"none of the {len(looked_at)} functions {'of a turn' if arguments.turn else 'in it'} panics")
    if arguments.limit is not None and depth > arguments.limit:
        raise SystemExit(f"stack.py: more than the {arguments.limit} bytes that are promised")


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    main()
