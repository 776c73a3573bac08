"""Says what was so in the machine of bus.sh, from what the chips on its buses saw.

    bus.py FOLDER

FOLDER has what the machine printed (console), QEMU's trace of the chips (trace), and the memory of the
one on I²C (eeprom).
"""

import json
import re
import struct
import sys
from pathlib import Path

# Of core/src/link: the version of the protocol, and the numbers of the messages.
PROTOCOL_VERSION = 1
TO_COMPANION_REQUEST = 0
REQUEST_VERDICT = 2


class Broken(Exception):
    """Bytes that are no message of the link."""


def checksum(data):
    """CRC-32C."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F6_3B78 if crc & 1 else 0)
    return crc ^ 0xFFFF_FFFF


def unstuffed(coded):
    """What COBS made free of zeros."""
    data, at = bytearray(), 0
    while at < len(coded):
        code = coded[at]
        if code == 0 or at + code > len(coded):
            raise Broken("no COBS")
        data += coded[at + 1 : at + code]
        at += code
        if code < 0xFF and at < len(coded):
            data.append(0)
    return bytes(data)


class Reader:
    """Postcard's encoding, from its beginning on."""

    def __init__(self, data):
        self.data = data

    def take(self, count):
        if len(self.data) < count:
            raise Broken("it ends too early")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def integer(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7

    def number(self):
        return struct.unpack("<f", self.take(4))[0]


def decoded(transfer):
    """The session, the sequence number and the verdict in a transfer, which must be just one frame."""
    if len(transfer) < 3 or transfer[0] != 0 or transfer[-1] != 0 or 0 in transfer[1:-1]:
        raise Broken("not one frame between zeros")
    payload = unstuffed(transfer[1:-1])
    if len(payload) < 5 or struct.pack("<I", checksum(payload[:-4])) != payload[-4:]:
        raise Broken("a wrong checksum")
    reader = Reader(payload[:-4])
    if reader.take(1)[0] != PROTOCOL_VERSION:
        raise Broken("another version")
    if reader.integer() != TO_COMPANION_REQUEST:
        raise Broken("no request")
    session, sequence = reader.integer(), reader.integer()
    if reader.integer() != REQUEST_VERDICT:
        raise Broken("no verdict")
    region = reader.integer()
    known = reader.integer()
    class_number = reader.integer() if known else None
    said = (region, class_number, reader.number(), reader.number())
    if reader.data:
        raise Broken("more than a verdict")
    return session, sequence, said


def transfers(trace, begins, byte, ends):
    """The bytes of each transfer that ended, by patterns of the trace's lines."""
    found, current = [], None
    for line in trace:
        if re.search(begins, line):
            current = bytearray()
        elif re.search(ends, line):
            if current is not None:
                found.append(bytes(current))
            current = None
        elif current is not None and (match := re.search(byte, line)):
            current.append(int(match.group(1), 16))
    return found


def memory_after(written, size):
    """What a 24C memory holds after these transfers: two bytes are an address, the others go there."""
    memory = bytearray(size)
    for transfer in written:
        address = int.from_bytes(transfer[:2], "big")
        for byte in transfer[2:]:
            memory[address % size] = byte
            address += 1
    return bytes(memory)


def main():
    folder = Path(sys.argv[1])
    console = (folder / "console").read_text(errors="replace").splitlines()
    trace = (folder / "trace").read_text().splitlines()
    eeprom = (folder / "eeprom").read_bytes()
    wrong = 0

    def so(what, is_so):
        nonlocal wrong
        wrong += not is_so
        print(f"bus: {what if is_so else 'NOT SO: ' + what}", flush=True)

    def of(prefix):
        return [line.removeprefix(f"{prefix}: ") for line in console if line.startswith(f"{prefix}: ")]

    def single(number):
        return struct.unpack("<f", struct.pack("<f", number))[0]

    classes = re.sub(r"^\d+: ", "", "".join(of("model"))).split(", ")

    def printed(name):
        """The verdicts that the program printed, as they are to be sent."""
        lines = [json.loads(line) for line in of(f"{name} output")]
        return [
            (line["region"], classes.index(line["class"]), single(line["score"]), single(line["threshold"]))
            for line in lines
        ], [line["outcome"] for line in lines]

    def doctor_says(name, pattern):
        return any(re.match(pattern, line) for line in of(f"{name} doctor"))

    def arrived(name, device, sent):
        said, outcomes = printed(name)
        known, unknown = outcomes.count("known"), outcomes.count("unknown")
        so(f"{name}: pictures were judged ({known} known, {unknown} unknown)", known > 0 and unknown > 0)
        so(f"{name}: and ended well", f"{name} EXIT 0" in console)
        so(f"{name}: as many transfers came to {device} ({len(sent)})", len(sent) == len(said))
        messages = []
        for transfer in sent:
            try:
                messages.append(decoded(transfer))
            except Broken as why:
                print(f"bus: {name}: {transfer.hex(' ')}: {why}")
        so(f"{name}: each is one whole message of the link", len(messages) == len(sent) > 0)
        sessions = {session for session, _, _ in messages}
        counted = [sequence for _, sequence, _ in messages] == list(range(1, len(messages) + 1))
        so(f"{name}: of one session, counted from 1", len(sessions) == 1 and counted)
        verdicts = [verdict for _, _, verdict in messages]
        so(f"{name}: with class, score and threshold as printed", verdicts == said)
        follows = ["known" if score <= threshold else "unknown" for _, _, score, threshold in verdicts]
        so(f"{name}: from which follows known or unknown, as printed", follows == outcomes)
        so(f"{name}: without any trouble", not any("warning" in line for line in of(f"{name} errors")))
        so(f"{name}: 'doctor' finds the bus", doctor_says(name, r"ok +pins "))

    i2c = transfers(
        trace,
        r"i2c_event start\(addr:0x50\)",
        r"i2c_send send\(addr:0x50\) data:0x(\w+)",
        r"i2c_event finish\(addr:0x50\)",
    )
    arrived("i2c", "the EEPROM", i2c)
    so("i2c: its memory holds them", any(eeprom) and eeprom == memory_after(i2c, len(eeprom)))
    spi = transfers(
        trace,
        r"m25p80_select .* select",
        r"m25p80_transfer .* tx 0x(\w+)",
        r"m25p80_select .* deselect",
    )
    arrived("spi", "the flash chip", spi)

    said, _ = printed("nobody")
    so(f"nobody: pictures are judged all the same ({len(said)})", len(said) > 0 and said == printed("i2c")[0])
    so("nobody: and the program ends well", "nobody EXIT 0" in console)
    errors = [line for line in of("nobody errors") if line.startswith("warning: ")]
    told = [line for line in errors if "i2c:2:0x51: " in line and "is the other end there" in line]
    so(f"nobody: trouble is told of once ({len(told)})", len(told) == 1)
    lost = f"warning: bus: {len(said)} of {len(said)} verdicts were not taken"
    so("nobody: and at the end how many were lost", errors[len(told) :] == [lost])
    so("missing: a bus that is not there is an error at the start", "missing EXIT 2" in console)
    so("missing: and 'doctor' says so", doctor_says("missing", r"FAIL +pins +spi:0\.1: "))
    so("it went to the end", "DONE" in console)
    return 1 if wrong else 0


sys.exit(main())
