"""Values that parsers trip over: numbers out of range, texts that no terminal should see, patterns that never end.

Some cannot be said in Python's JSON. `RAW` has them as text: a string "\\0rawN\\0" in a tree stands for the Nth.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 7, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64, 10**12, 10**40),
    *(10**400, -(10**400), 0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"), 1000, 100_000),
)
PATTERNS = (
    *(r"(a|aa)+$", r"(a*)*b", r"(?:(?:a{1,99}){1,99}){1,99}", r"(\w+\s?)*!", "(" * 60 + "a" + "*)" * 60, "a|" * 3000),
    *(
        r"(?=(?=(?=a*)*)*)",
        r"\p{",
        r"[",
        r"[^",
        r"(?P<a>.)(?P=a)*",
        r"(?R)?",
        r"(?1)(a(?1)?)",
        r"a{999999999}",
        r"\x{}",
    ),
    *(r"\x{110000}", r"\x{D800}", r"(?i)(?:ſ|ss|ß){0,50}$", r"(?<=a{1,50})b", r"\G", r"{1,2}+", r"(?~a)", r"*", r"\\"),
    *(
        r"(?>a+)+b",
        r"(?:a?){50}a{50}",
        r"(.*)(.*)(.*)(.*)(.*)(.*)(.*)x",
        r"[\h\H]",
        r"^$",
        "",
        r"(?(1)a|b)",
        r"\N{BEL}",
    ),
    *(
        r"(?b)(a|aa)+$",
        r"(?e)(?:aaa){e<=3}",
        r"\L<x>",
        r"(?:(?:a{0,100}){0,100}){0,100}$",
        r"[[a-z]--[b]]",
        r"(?V1)[a||b]",
    ),
)
TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\n",
        "\t",
        "\x1b[31m\x1b]0;t\x07",
        "\u202e",
        "\ud800",
        "\udfff",
        "\ud83d\ude00",
        "\ufeff",
        "\u2028",
    ),
    *(
        "NaN",
        "null",
        "A",
        "a" * 50,
        "a" * 3000,
        "é" * 300,
        "🙂",
        "▁",
        "##",
        "</w>",
        "<0x41>",
        "<0xZZ>",
        "Ġ",
        "<unk>",
        "[UNK]",
    ),
    *(
        "../../../etc/passwd",
        "/dev/zero",
        "file:///etc/passwd",
        "a b",
        "a\tb",
        '"',
        "'",
        "\\",
        "%s%n",
        "{}",
        "<s>",
        "a\r\n",
    ),
    *(
        "BPE",
        "Unigram",
        "WordLevel",
        "WordPiece",
        "Sequence",
        "ByteLevel",
        "Split",
        "Replace",
        "Regex",
        "String",
        "gpt2",
    ),
    *(
        "llama",
        "bert",
        "bart",
        "F32",
        "F16",
        "BF16",
        "F64",
        "I64",
        "U8",
        "BOOL",
        "Σ",
        "İ",
        "ß",
        "\U0010ffff",
        "aa" * 40,
    ),
)
CONTAINERS: tuple[Any, ...] = (
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a": 1},
    [0] * 3,
    ["a", "b"],
    [["a", 1.0]],
    {"type": "NFC"},
)
RAW = (
    *(
        "1" * 400,
        "-" + "9" * 5000,
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1E400",
        "0.1e-999",
        "[" * 900 + "]" * 900,
    ),
    *(
        '{"a":' * 500 + "1" + "}" * 500,
        "[" * 3000,
        '"\\ud800"',
        '"\\u0000\\u001b[2J"',
        "[" * 90_000,
        "1" * 1_000_000,
        '{"a":' * 60_000,
    ),
    *("[" * 20_000 + "]" * 20_000, '"' + "a" * 500_000 + '"', "[" + "0," * 100_000 + "0]"),
)
_LIGHT = 14  # the first of RAW take no time to read


def number(random: Random) -> Any:
    value = random.choice(NUMBERS)
    return -value if random.random() < 0.2 else value


def text(random: Random) -> str:
    found = random.choice(PATTERNS if random.random() < 0.3 else TEXTS)
    return found + random.choice(TEXTS) if random.random() < 0.1 else found


def raw(random: Random) -> str:
    """A stand-in for text that is put into the file as it is."""
    return f"\0raw{random.randrange(len(RAW) if random.random() < 0.05 else _LIGHT)}\0"


def value(random: Random) -> Any:
    """Anything at all."""
    kind = random.randrange(10)
    if kind < 3:
        return number(random)
    if kind < 6:
        return text(random)
    if kind < 7:
        return random.choice((True, False, None))
    return raw(random) if kind < 8 else random.choice(CONTAINERS)


# The same for hypothesis, which makes a failing value small.
JSON = st.recursive(
    st.sampled_from((*NUMBERS, *TEXTS, *PATTERNS, *CONTAINERS, None, True, False))
    | st.text(max_size=5)
    | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
