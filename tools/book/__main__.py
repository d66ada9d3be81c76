"""Build the website into a folder that works without a network.

    python -m tools.book                     # into build/site; open build/site/index.html
    python -m tools.book --out FOLDER

It needs the extra `site` (`pip install -e ".[site]"`), and npm for MathJax, which it downloads once. Notebooks are not
executed: their stored outputs are shown. Every warning is an error, and so is a link that leads nowhere. Where Chromium
and the extra `browser` are installed, it is also an error if a text is too faint, a picture has no words, or a page is
wider than a phone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from . import code, explained, links, looking, sources

ROOT = Path(__file__).resolve().parents[2]
MATHJAX = "mathjax@3.2.2"
SCRIPT = "es5/tex-svg-full.js"  # one file that draws equations as SVG, and so needs no fonts


def main() -> int:
    lines = (__doc__ or "").split("\n")
    parser = argparse.ArgumentParser(
        prog="python -m tools.book",
        description=lines[0],
        epilog="\n".join(lines[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", metavar="FOLDER")
    out = parser.parse_args().out.resolve()
    started = time.monotonic()
    work = ROOT / "build" / "book"
    shutil.rmtree(work / "source", ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    sources.gather(ROOT, work / "source")
    extra = work / "source" / "_extra"
    code.write_pages(ROOT, extra / "code")
    explained.write_pages(ROOT, work, extra / "explain")
    _fetch_mathjax(work, work / "source" / "_static")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-j", "2"]
    status = subprocess.run([*command, "-b", "html", str(work / "source"), str(out)], check=False).returncode
    if status == 0:
        links.make_relative(out)
        wrong = links.broken(out)
        if chromium := looking.browser():
            wrong += looking.faults(out, chromium)
        else:
            print("Nobody looked at the pages: that takes Playwright and Chromium.")
        print("\n".join(wrong))
        status = bool(wrong)
    print(f"{'failed' if status else out / 'index.html'}, {time.monotonic() - started:.0f} s")
    return status


def _fetch_mathjax(work: Path, static: Path) -> None:
    """Put MathJax's one file among the site's own."""
    script = work / MATHJAX / "package" / SCRIPT
    if not script.exists():
        (work / MATHJAX).mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", "--silent", MATHJAX], cwd=work / MATHJAX, check=True, capture_output=True, text=True
        )
        with tarfile.open(work / MATHJAX / packed.stdout.split()[-1]) as archive:
            member = archive.extractfile(f"package/{SCRIPT}")  # read, not unpacked: where it goes, we say
            assert member is not None
            script.parent.mkdir(parents=True)
            script.write_bytes(member.read())
    static.mkdir(parents=True, exist_ok=True)
    shutil.copy(script, static / "mathjax.js")


if __name__ == "__main__":
    sys.exit(main())
