"""Sentences as lists of parts, so that a page can set names and numbers in their own type.

The kinds of parts are ``text``, ``code`` (a name) and ``strong`` (the number that matters).
"""

from __future__ import annotations

from dataclasses import dataclass

Part = tuple[str, str]


@dataclass(frozen=True)
class Sentence:
    """One sentence as (kind, text) parts."""

    parts: tuple[Part, ...]

    def plain(self) -> str:
        """Return plain text, with names in backticks."""
        return "".join(f"`{text}`" if kind == "code" else text for kind, text in self.parts)

    def markdown(self) -> str:
        """Return GitHub Markdown; names cannot end their code span or add columns or lines."""
        return "".join(_markdown(kind, text) for kind, text in self.parts)


def sentence(*parts: str | Part) -> Sentence:
    """Make a Sentence; bare strings are text."""
    return Sentence(tuple(("text", part) if isinstance(part, str) else part for part in parts))


def code(name: str) -> Part:
    """Return a name as a part."""
    return ("code", name)


def strong(text: str) -> Part:
    """Return the number that matters as a part."""
    return ("strong", text)


def _markdown(kind: str, text: str) -> str:
    if kind == "code":
        return markdown_code(text)
    safe = markdown_text(text)
    return f"**{safe}**" if kind == "strong" else safe


def markdown_code(text: str) -> str:
    """Return a name as a code span that nothing in it can end."""
    plain = " ".join(text.split()).replace("|", "¦").replace("`", "ˋ")
    return f"`{plain}`"


def markdown_text(text: str) -> str:
    """Return text whose characters mean nothing to Markdown or HTML."""
    plain = text.replace("&", "&amp;")
    for mark in "\\`*_[]<>|#~@":
        plain = plain.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return plain.replace("\r", " ").replace("\n", " ")
