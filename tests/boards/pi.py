"""Boots the two machines of pi.sh, watches and drives their pins, and says what was so.

    pi.py FOLDER KERNEL DEVICE_TREE FIRMWARE

FOLDER has the initramfs; the emulators' sockets go there.
"""

import queue
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

# The Raspberry Pi's GPIO block: function select (3 bits a pin), set, clear and level, a bit a pin.
GPIO = 0x3F20_0000
SELECT, SET, CLEAR, LEVEL = GPIO, GPIO + 0x1C, GPIO + 0x28, GPIO + 0x34
OUTPUT = 1
UNKNOWN, HEARTBEAT, ARM = 17, 22, 27
# The companion's LEDs; the first is the alarm.
LEDS = 0x4002_F004

PATIENCE = 600  # seconds; nothing is measured with it


class Registers:
    """A machine's memory, through QEMU's test socket."""

    def __init__(self, path):
        until = time.monotonic() + 60
        self.socket = socket.socket(socket.AF_UNIX)
        while self.socket.connect_ex(str(path)):
            if time.monotonic() > until:
                sys.exit(f"pi: no emulator at {path}")
            time.sleep(0.1)
        self.lines = self.socket.makefile("r")

    def ask(self, command):
        self.socket.sendall(f"{command}\n".encode())
        for line in self.lines:
            if line.startswith("OK"):
                return line[2:].strip()
            if not line.startswith("IRQ"):
                sys.exit(f"pi: '{command}' was answered '{line.strip()}'")
        raise EOFError("its test socket is closed")

    def read(self, address):
        return int(self.ask(f"readl {address:#x}"), 16)

    def write(self, address, value):
        self.ask(f"writel {address:#x} {value:#x}")


class Pi(Registers):
    def is_output(self, pin):
        return self.read(SELECT + 4 * (pin // 10)) >> 3 * (pin % 10) & 7 == OUTPUT

    def is_high(self, pin):
        return bool(self.read(LEVEL) >> pin & 1)

    def drive(self, pin, high):
        self.write(SET if high else CLEAR, 1 << pin)


class Watch(threading.Thread):
    """Looks at the pins all the time, and remembers how they changed while they were outputs."""

    def __init__(self, pi, companion):
        super().__init__(daemon=True)
        self.pi, self.companion = pi, companion
        self.lock = threading.Lock()
        self.forget()

    def forget(self):
        self.rises = {UNKNOWN: 0, HEARTBEAT: 0}
        self.falls = {UNKNOWN: 0, HEARTBEAT: 0}
        self.alarms = 0

    def run(self):
        last, alarm = {}, False
        try:
            while True:
                with self.lock:
                    for pin in (UNKNOWN, HEARTBEAT):
                        level = self.pi.is_output(pin) and self.pi.is_high(pin)
                        if level != last.get(pin, False):
                            (self.rises if level else self.falls)[pin] += 1
                        last[pin] = level
                    lit = bool(self.companion.read(LEDS) & 1)
                    self.alarms += lit and not alarm
                    alarm = lit
                time.sleep(0.02)
        except (EOFError, OSError):
            pass  # the machine has ended


def main():
    folder, kernel, tree, firmware = (Path(argument) for argument in sys.argv[1:])
    pi = subprocess.Popen(
        ["qemu-system-aarch64", "-M", "raspi3b", "-display", "none", "-no-reboot"]
        + ["-dtb", tree, "-kernel", kernel, "-initrd", folder / "initramfs"]
        + ["-append", "console=ttyAMA0,115200 panic=-1 quiet iomem=relaxed"]
        + ["-serial", "stdio", "-serial", f"unix:{folder}/uart,server=on,wait=off"]
        + ["-qtest", f"unix:{folder}/pi,server=on,wait=off", "-qtest-log", "none"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    registers = Pi(folder / "pi")
    companion = subprocess.Popen(
        ["qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none"]
        + ["-serial", f"unix:{folder}/uart", "-serial", "null", "-kernel", firmware]
        + ["-qtest", f"unix:{folder}/companion,server=on,wait=off", "-qtest-log", "none"],
        stdin=subprocess.DEVNULL,
    )
    try:
        return check(pi, registers, Registers(folder / "companion"))
    finally:
        pi.kill()
        companion.kill()


def check(pi, registers, companion):
    watch = Watch(registers, companion)
    console, lines = [], queue.Queue()

    def read():
        for line in pi.stdout:
            lines.put(line.decode(errors="replace").rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()

    def until(pattern):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                line = lines.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                sys.exit(f"pi: no '{pattern}' within {PATIENCE} s")
            if line is None:
                sys.exit(f"pi: the machine ended before '{pattern}'")
            print(line, flush=True)
            console.append(line)
            if re.search(pattern, line):
                return

    def wait_for(what):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with watch.lock:
                if what():
                    return True
            time.sleep(0.05)
        return False

    wrong = 0

    def so(what, is_so):
        nonlocal wrong
        wrong += not is_so
        print(f"pi: {what if is_so else 'NOT SO: ' + what}", flush=True)

    until("^VIDEO BEGINS")
    watch.start()
    until("^VIDEO EXIT")
    with watch.lock:
        rises, falls, alarms = dict(watch.rises), dict(watch.falls), watch.alarms
    until("^CAMERA BEGINS")
    text = "\n".join(console)
    found = re.search(r"^video: +events +(\d+)", text, re.M)
    events = int(found.group(1)) if found else 0
    so("the video was watched to its end", "VIDEO EXIT 0" in text)
    so(f"there were unknown things in it ({events})", events > 0)
    so(f"the pin went up with each ({rises[UNKNOWN]})", rises[UNKNOWN] == events)
    so(f"and down after it ({falls[UNKNOWN]})", falls[UNKNOWN] == events)
    so(f"the heart beat ({rises[HEARTBEAT]})", rises[HEARTBEAT] >= 2)
    told = re.search(r"(\d+) verdicts told", text)
    so("the companion took verdicts from the serial line", told is not None and int(told.group(1)) > 0)
    so(f"its alarm went on ({alarms})", alarms > 0)
    so("and its events came back over the line", re.search(r"^companion: \{", text, re.M) is not None)

    # A little later the second program has the pins.
    so("it takes the pin anew", wait_for(lambda: registers.is_output(UNKNOWN)))
    with watch.lock:
        watch.forget()
    time.sleep(8)
    with watch.lock:
        quiet = watch.rises[UNKNOWN] == 0
    so("not armed, nothing is told, whatever the camera sees", quiet)
    with watch.lock:
        registers.drive(ARM, True)
    so("armed, the pin goes up", wait_for(lambda: watch.rises[UNKNOWN] > 0))
    so("the heart beats again", wait_for(lambda: watch.rises[HEARTBEAT] > 1))
    with watch.lock:
        registers.drive(ARM, False)
    so("disarmed, it goes down", wait_for(lambda: watch.falls[UNKNOWN] > 0))
    until("^CAMERA EXIT")
    with watch.lock:
        off = not registers.is_high(UNKNOWN) and not registers.is_high(HEARTBEAT)
    so("at the end all pins are off", off)
    so("the program ended well", console[-1] == "CAMERA EXIT 0")
    return 1 if wrong else 0


try:
    sys.exit(main())
except (EOFError, OSError) as error:
    sys.exit(f"pi: an emulator ended: {error}")
