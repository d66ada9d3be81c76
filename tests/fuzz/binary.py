"""Damage to binary files that keeps their structure: protocol buffers, safetensors, arrays, headers of sizes."""

from __future__ import annotations

import struct
from random import Random

from . import hostile
from .trees import damage_json

Field = tuple[int, int, int | bytes]  # number, wire type, value
_INTEGERS = (0, 1, -1, 2, 7, 255, 256, 1 << 15, 1 << 16, (1 << 31) - 1, -(1 << 31), 1 << 24, 1 << 20, 1000, 12345)


def damage_protobuf(data: bytes, random: Random) -> bytes:
    """A message with one to three fields changed, or changed inside. ValueError, IndexError: it is no message."""
    fields = list(read_fields(data))
    for _ in range(random.choice((1, 1, 2, 3))):
        _change_field(fields, random)
    return b"".join(map(write_field, fields))


def _change_field(fields: list[Field], random: Random) -> None:
    # The last fields say what the many before them are for.
    at = random.choice((random.randrange(len(fields)), len(fields) - 1, max(len(fields) - 2, 0))) if fields else 0
    number, wire, value = fields[at] if fields else (1, 2, b"")
    kind = random.randrange(9)
    if kind == 0:
        fields[at : at + 1] = []
    elif kind == 1:
        fields[at:at] = fields[at : at + 1] * random.choice((1, 2, 100))
    elif kind == 2:
        fields[at : at + 1] = [(random.choice((0, 1, 2, 3, 35, 44, 45, 5000, 1 << 28)), wire, value)]
    elif kind == 3:
        fields[at : at + 1] = [(number, 0, random.choice((0, 1, 2, 6, 7, 1 << 31, 1 << 63, (1 << 64) - 1, 1 << 200)))]
    elif kind == 4:
        fields[at : at + 1] = [(number, 2, hostile.text(random).encode("utf-8", "surrogatepass"))]
    elif kind == 5:
        fields[at : at + 1] = [
            (number, random.choice((1, 5)), struct.pack("<d", random.choice((0.0, float("nan"), 1e300))))
        ]
    elif kind == 6 and fields:
        other = random.randrange(len(fields))
        fields[at], fields[other] = fields[other], fields[at]
    elif isinstance(value, bytes) and value:
        try:
            fields[at : at + 1] = [(number, wire, damage_protobuf(value, random))]
        except (ValueError, IndexError):
            fields[at : at + 1] = [(number, wire, value[: random.randrange(len(value))])]


def read_fields(data: bytes) -> list[Field]:
    fields: list[Field] = []
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _read_varint(data, at)
            fields.append((key >> 3, wire, value))
            continue
        if wire not in (1, 2, 5):
            raise ValueError("no field")
        length, at = _read_varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + length > len(data):
            raise ValueError("cut")
        fields.append((key >> 3, wire, data[at : at + length]))
        at += length
    return fields


def write_field(field: Field) -> bytes:
    number, wire, value = field
    if isinstance(value, int):
        return varint(number << 3 | 0) + varint(value)
    if wire == 2:
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3 | wire) + value[: 8 if wire == 1 else 4]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def damage_safetensors(data: bytes, random: Random) -> bytes:
    """The header, which is JSON, changed; or its length; or numbers that are not finite."""
    (length,) = struct.unpack("<Q", data[:8])
    header, rest = data[8 : 8 + length], data[8 + length :]
    kind = random.randrange(8)
    if kind == 0:
        return (
            struct.pack("<Q", random.choice((0, 1, length - 1, length + 1, 1 << 31, (1 << 63) - 1, (1 << 64) - 1)))
            + header
            + rest
        )
    if kind == 1 and len(rest) >= 4:
        at = random.randrange(len(rest) - 3)
        rest = rest[:at] + struct.pack("<f", random.choice((float("nan"), float("inf"), 1e38, -0.0))) + rest[at + 4 :]
        return data[: 8 + length] + rest
    header = damage_json(header, random)
    return struct.pack("<Q", len(header)) + header + rest


def damage_npy(data: bytes, random: Random) -> bytes:
    """The header of an array: its version, its length, and the dictionary in it."""
    (length,) = struct.unpack("<H", data[8:10])
    header, rest = data[10 : 10 + length].decode("latin-1"), data[10 + length :]
    version = data[:8] if random.random() < 0.9 else data[:6] + bytes(random.choices((0, 1, 2, 3, 255), k=2))
    for old, new in random.sample(_NPY, random.choice((1, 1, 2))):
        header = header.replace(old, new, 1)
    if random.random() < 0.2:
        at = random.randrange(len(header))
        header = header[:at] + hostile.text(random) + header[at:]
    encoded = header.encode("utf-8", "surrogatepass")[:65535]
    claimed = len(encoded) if random.random() < 0.9 else random.choice((0, 1, 65535))
    return version + struct.pack("<H", claimed) + encoded + rest


_NPY = (
    *(
        ("'<f4'", new)
        for new in (
            "'<f8'",
            "'|O'",
            "'<i4'",
            "'<U9'",
            "None",
            "[('a','<f4')]",
            "'V99999999999'",
            "'<f4,<f4'",
            "'?'",
            "4",
        )
    ),
    *(("False", new) for new in ("True", "None", "1", "__import__('os')", "()", "(" * 300)),
    *(("(", new) for new in ("(-", "(9" * 40, "(0,", "(1,", "((", "[", "(1.5,", "('a',")),
    *(("'descr'", new) for new in ("'x'", "1", "'descr': 1, 'descr'")),
    *(("}", new) for new in ("", "}}", ", 'more': 1}", "}#")),
    *((",)", new) for new in (", 99999999999999999999)", ", 2)", ")", ", -1)", ", 9223372036854775807)")),
)


def damage_integers(data: bytes, random: Random) -> bytes:
    """Some of the first numbers of four bytes become others: what a header of sizes is made of."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        at = 4 * random.randrange(min(len(data) // 4, random.choice((8, 16))))
        struct.pack_into("<i", out, at, random.choice(_INTEGERS))
    return bytes(out)
