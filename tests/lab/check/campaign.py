"""How good is the check? 300 planted mistakes and more than 60 right operations, and the table of docs/check.md.

    python -m tests.lab.check.campaign [COUNT] [SEED]

takes about ten minutes of CPU time for 300. A mistake counts as found if its function is called wrong, as placed if
exactly the gradients that differ from the right ones are called wrong, and as named if the kind of mistake is the one
that was planted ("a term is missing" and "a gradient is dropped" are one kind: a value that is lost is a term where
it is added).
"""

import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from minigpt.lab.check.report import check_source

from .mutants import FOLDER, SOURCES, Mutant, sample

COUNT, SEED = 300, 8
KEPT = ("ids", "targets", "rng", "p", "mask")  # what stays as it is in float32
SAME = {"dropped": "term"}


class Outcome(NamedTuple):
    mutant: Mutant
    found: bool
    placed: bool
    named: bool
    said: str


def judged(mutant):
    """What the check says of one mutant."""
    (verdict,) = check_source(mutant.source, [mutant.name]).pairs
    found = verdict.status == "wrong"
    placed = found and {g.role for g in verdict.wrong} == mutant.roles
    kind = verdict.explanation.kind if verdict.explanation else None
    named = found and SAME.get(kind, kind) == SAME.get(mutant.kind, mutant.kind)
    said = (
        f"{kind}: {verdict.explanation.says}" if verdict.explanation else f"{verdict.status} {verdict.reason}".strip()
    )
    return Outcome(mutant, found, placed, named, said)


def single_precision(source):
    """The closures with every array made float32 on the way in."""

    def cast(match):
        names = [n for n in re.findall(r"(\w+)(?:,|$)", match.group(2)) if n not in KEPT]
        lines = [f"    {n} = np.asarray({n}, np.float32)" for n in names]
        return "\n".join([match.group(0), *lines])

    return re.sub(r"^def (\w+)\(([^=)]*?)(?:, eps=[^)]*)?\):$", cast, source, flags=re.M)


def right_variants():
    """File's name to source: operations that are right, in five conventions, and once in float32."""
    found = dict(SOURCES) | {"others": (FOLDER / "others.py").read_text(encoding="utf-8")}
    return found | {"closures in float32": single_precision(SOURCES["closures"])}


def false_alarms():
    """(how many right operations were judged, those that were not called right)."""
    verdicts = [(name, v) for name, source in right_variants().items() for v in check_source(source).pairs]
    wrong = [f"{name}: {v.pair.name} is {v.status}: {v.reason}" for name, v in verdicts if v.status != "right"]
    return len(verdicts), wrong


def table(outcomes):
    """The results by kind, in Markdown."""
    kinds = Counter(o.mutant.kind for o in outcomes)
    lines = ["| planted | mutants | found | placed | named |", "|---|---|---|---|---|"]
    for kind in [*sorted(kinds), "together"]:
        some = [o for o in outcomes if kind in ("together", o.mutant.kind)]
        counts = [sum(getattr(o, what) for o in some) for what in ("found", "placed", "named")]
        lines.append(f"| {kind} | {len(some)} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def misses(outcomes):
    """Every mutant that was not found, placed and named, in Markdown."""
    lines = ["| style, operation | planted | the line became | the check said |", "|---|---|---|---|"]
    for o in outcomes:
        if not (o.found and o.placed and o.named):
            m = o.mutant
            missed = "not found" if not o.found else "misplaced" if not o.placed else ""
            new = "; ".join(line.strip() for line in m.new.splitlines()).replace("|", "\\|")
            told = ", ".join(filter(None, (missed, o.said))).replace("|", "\\|")
            lines.append(f"| {m.style}, {m.name} | {m.kind} | `{new}` | {told} |")
    return "\n".join(lines)


def run(count, seed):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(judged, sample(count, seed)))


if __name__ == "__main__":
    count, seed = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (COUNT, SEED)
    results = run(count, seed)
    print(table(results), misses(results), sep="\n\n")
    judged_right, alarms = false_alarms()
    print(f"\n{judged_right} right operations, {len(alarms)} false alarms", *alarms, sep="\n")
