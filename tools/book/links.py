"""The finished site's links: made relative, and followed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .sources import HERE

_NOT_FOLLOWED = ("explain",)  # one page each, which builds itself by a script


def make_relative(site: Path) -> None:
    """Replace the site's own address, which pages have where Sphinx could not know what will be there."""
    for page in _pages(site):
        text = page.read_text(encoding="utf-8")
        if HERE in text:
            up = "../" * (len(page.relative_to(site).parts) - 1)
            text = re.sub(rf'(<a class=")reference external(" href="){re.escape(HERE)}/', rf"\1reference\2{up}", text)
            page.write_text(text.replace(f"{HERE}/", up), encoding="utf-8")


def broken(site: Path) -> list[str]:
    """Links inside of the site that lead nowhere, and whatever would be loaded from the network."""
    found = []
    parsed = {page: _Links(page) for page in _pages(site)}
    for page, links in parsed.items():
        for kind, target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if kind == "load" and parts.scheme != "data":
                    found.append(f"{page.relative_to(site)} loads {target}")
                continue
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not path.is_file():
                found.append(f"{page.relative_to(site)}: {target} is not there")
            elif parts.fragment and path in parsed and unquote(parts.fragment) not in parsed[path].places:
                found.append(f"{page.relative_to(site)}: {target} is no place in that page")
    return found


def _pages(site: Path) -> list[Path]:
    return [page for page in sorted(site.rglob("*.html")) if page.relative_to(site).parts[0] not in _NOT_FOLLOWED]


class _Links(HTMLParser):
    """A page's links, each with whether it is followed or loaded, and the places in it that a link can name."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[tuple[str, str]] = []
        self.places: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = {name: value for name, value in attributes if value is not None}
        self.places |= {has[name] for name in ("id", "name") if name in has}
        loaded = tag in ("script", "img", "iframe", "source") or (tag == "link" and "stylesheet" in has.get("rel", ""))
        for name in ("href", "src"):
            if has.get(name):
                self.targets.append(("load" if loaded else "link", has[name]))
