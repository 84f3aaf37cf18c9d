"""Reading a site's pages in tests: tags, attributes and text."""

from __future__ import annotations

from html.parser import HTMLParser

from harness.report.site import write

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words, self.unbalanced = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag, **attrs):
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in attrs.items())]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def page(out, runs, faults=()):
    return Reader(write(runs, out, list(faults)).read_text("utf-8"))


def whole(out, runs, faults=(), **options):
    """Write the site; return every page by its path."""
    write(runs, out, list(faults), **options)
    return {p.relative_to(out).as_posix(): Reader(p.read_text("utf-8")) for p in sorted(out.rglob("*.html"))}
