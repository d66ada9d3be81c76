"""One damaged file of a valid one: structure kept and broken in one place, or bytes flipped, moved, cut and spliced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from . import binary, hostile, trees

LARGEST = 4 << 20  # bytes of a damaged file; what is larger is cut

# How the files of each kind are damaged with their structure kept.
KINDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "json": trees.damage_json,
    "jsonl": trees.damage_lines,
    "toml": trees.damage_toml,
    "protobuf": binary.damage_protobuf,
    "safetensors": binary.damage_safetensors,
    "npy": binary.damage_npy,
    "integers": binary.damage_integers,
    "text": lambda data, random: damage_text(data, random),
    "bytes": lambda data, random: damage_bytes(data, [data], random),
}


def mutated(data: bytes, kind: str, others: Sequence[bytes], random: Random) -> bytes:
    """`data`, a file of a kind, damaged.

    Args:
        others: further valid files, of which stretches are spliced in.
    """
    way = random.randrange(10)
    if way < 6:
        try:
            data = KINDS[kind](data, random)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError):
            data = damage_bytes(data, others, random)
    elif way < 8 and kind not in ("safetensors", "npy", "integers", "protobuf", "bytes"):
        data = damage_text(data, random)
    else:
        data = damage_bytes(data, others, random)
    return data[:LARGEST]


def damage_bytes(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """One to four times: bits flipped, bytes put in or taken out, the end cut, stretches repeated, swapped, spliced."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        # The beginning of a file says the most.
        size = len(out) if random.random() < 0.5 else min(len(out), 200)
        a, b = sorted((random.randrange(size + 1), random.randrange(size + 1)))
        b = min(b, a + random.choice((1, 2, 4, 30, 1 << 20)))
        match random.randrange(9):
            case 0 if out:
                out[min(a, len(out) - 1)] ^= 1 << random.randrange(8)
            case 1:
                out[a:a] = random.choice(_BYTES)
            case 2:
                out[a:b] = b""
            case 3:
                out[a:] = b""
            case 4:
                out[a:a] = out[a:b] * random.choice((1, 2, 50))
            case 5:
                c = min(b + b - a, len(out))
                out[a:c] = out[b:c] + out[a:b]
            case 6:
                other = random.choice(others)
                start = random.randrange(len(other) + 1)
                out[a:b] = other[start : start + random.choice((1, 8, 100, 1 << 20))]
            case 7:
                out[a:b] = bytes(random.getrandbits(8) for _ in range(min(b - a, 16)))
            case _:
                out[a:b] = random.choice(_BYTES)
    return bytes(out)


_BYTES = (
    *(
        b"\0",
        b"\xff",
        b"\x80",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\0\0\0\0\0\0\0\x80",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
    ),
    *(
        b"\xf4\x90\x80\x80",
        b"\x1b[2J",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\n",
        b"\r",
        b"\t",
        b" ",
        b"=",
        b"-",
        b"9" * 30,
    ),
    *(
        b"1e999",
        b"NaN",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"'",
        b"<",
        b"&",
        b"<!ENTITY a 'b'>",
        b"\xfe\xff",
        b"\xff\xfe",
        b"[" * 2000,
    ),
)


def damage_text(data: bytes, random: Random) -> bytes:
    """Lines and fields repeated, swapped, taken out, moved, or replaced by hostile text."""
    text = data.decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(8):
        case 0:
            del lines[at]
        case 1:
            lines[at:at] = [lines[at]] * random.choice((1, 1, 2, 200))
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = hostile.text(random)
        case 4:
            lines[at:at] = [hostile.text(random)]
        case 5:
            lines[at] += random.choice(("\r", "\t", ",", " ", '"', "\0", "\u2028", hostile.text(random)))
        case _:
            lines[at] = _damage_fields(lines[at], random)
    return _encoded("\n".join(lines))


def _encoded(text: str) -> bytes:
    """Bytes that were not UTF-8 as they were, unless hostile halves of surrogate pairs stand beside them."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _damage_fields(line: str, random: Random) -> str:
    separator = random.choice([s for s in ("\t", ",", " ", "=", "|", ">", '"') if s in line] or [" "])
    fields = line.split(separator)
    at, other = random.randrange(len(fields)), random.randrange(len(fields))
    match random.randrange(6):
        case 0:
            del fields[at]
        case 1:
            fields[at:at] = [fields[at]] * random.choice((1, 1, 300))
        case 2:
            fields[at], fields[other] = fields[other], fields[at]
        case 3:
            fields[at] = str(hostile.number(random)) if random.random() < 0.5 else hostile.text(random)
        case 4:
            fields[at] = ""
        case _:
            cut = random.randrange(len(fields[at]) + 1)
            fields[at] = fields[at][:cut] + hostile.text(random) + fields[at][cut:]
    return separator.join(fields)
