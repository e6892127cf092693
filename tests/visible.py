"""What a reader sees of a page."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"br", "col", "hr", "img", "input", "link", "meta", "wbr"}
"""Elements that have no end."""


class VisibleText(HTMLParser):
    """The words of a page a reader sees, without scripts, styles and the names of icons."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if self._hidden or tag in ("script", "style", "svg"):
            self._hidden += tag not in VOID
        elif "material-symbols-outlined" in (found.get("class") or ""):
            self._hidden = 1
        for name in ("aria-label", "title", "placeholder", "alt"):
            if found.get(name):
                self.words.append(found[name] or "")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.words.append(data.strip())


def visible_words(html: str) -> list[str]:
    """The texts of a page in the order they stand in."""
    page = VisibleText()
    page.feed(html)
    return page.words
