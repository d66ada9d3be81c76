"""Fill a chat template: a program of its own, which imports nothing of minigpt.

A template comes from a stranger. Jinja's sandbox keeps it from Python's objects; this process bounds what it costs, and
by then it can open no file and no connection. A job comes on stdin and an answer goes to stdout, both as JSON.

A template sees what transformers gives it: blocks without the line break behind them, `break` and `continue`, a block
`generation` that changes nothing, `raise_exception`, `strftime_now`, and JSON that is not escaped for HTML.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, NoReturn

import jinja2.constants  # Jinja would import this and debug later, when nothing can be opened any more
import jinja2.debug
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


class Generation(jinja2.ext.Extension):
    """{% generation %} … {% endgeneration %}: where the model's own words stand, of interest to training alone."""

    tags: ClassVar[set[str]] = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class PlainNamespace(Namespace):
    """Jinja's namespace without names that begin with an underscore, which lead into Python."""

    def __init__(*given: Any, **more: Any) -> None:
        namespace, *rest = given
        values = dict(*rest, **more)
        for name in values:
            _check_name(name)
        Namespace.__init__(namespace, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


class Dictionaries:
    """What a template may do with `dict`: the class itself has methods that change what is not to be changed."""

    def __call__(self, *given: Any, **more: Any) -> dict[Any, Any]:
        return dict(*given, **more)

    def fromkeys(self, *given: Any) -> dict[Any, Any]:
        return dict.fromkeys(*given)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace has no {name!r}")


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _tojson(x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment() -> ImmutableSandboxedEnvironment:
    extensions = [Generation, jinja2.ext.loopcontrols]
    found = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    found.filters["tojson"] = _tojson
    found.globals["raise_exception"] = _raise_exception
    found.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    found.globals["namespace"] = PlainNamespace
    found.globals["dict"] = Dictionaries()
    return found


def limit(seconds: int, memory: int) -> None:
    """From now on: so much CPU time and memory, and nothing is opened. What is read on first use is read before."""
    time.localtime()  # the time zone
    environment().from_string(r"{{ 'é\n' | tojson }}").render()  # codecs
    bounds = {"CPU": seconds + math.ceil(time.process_time()), "AS": memory, "NOFILE": 0, "FSIZE": 0, "CORE": 0}
    for name, most in bounds.items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit on memory
            resource.setrlimit(number, (most, most))


def fill(job: Mapping[str, Any]) -> str:
    """The text of a job's template and values.

    Raises:
        ValueError: it is longer than the job allows.
    """
    pieces, length = [], 0
    for piece in environment().from_string(job["source"]).generate(job["values"]):
        pieces.append(piece)
        length += len(piece)
        if length > job["characters"]:
            raise ValueError(f"its text has more than {job['characters']:,} characters")
    return "".join(pieces)


def main() -> None:
    job = json.load(sys.stdin)
    limit(job["seconds"], job["memory"])
    try:
        answer = {"text": fill(job)}
    except MemoryError:
        answer = {"failure": "it takes too much memory"}
    except RecursionError:
        answer = {"failure": "it is nested too deeply"}
    except Exception as error:
        line = getattr(error, "lineno", None)
        answer = {"failure": f"{str(error)[:300] or type(error).__name__}{f' (line {line})' if line else ''}"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
