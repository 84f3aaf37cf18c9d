"""Colors by role and by technique family, for both themes, safe for color-blind readers.

Figures are drawn in the light colors. On the page, each becomes the CSS variable of its role, so that one
drawing works in both themes. Family colors follow Okabe & Ito (2008, "Color Universal Design"), darkened
to a contrast of 3 : 1 against white. Each family also has its own marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """A color: its CSS variable, and its values in the light and in the dark theme."""

    name: str
    light: str
    dark: str


@dataclass(frozen=True)
class Family:
    """The look of a technique family: legend, color, matplotlib marker, and the marker as an SVG path.

    `outline` is that path, in a box from -5 to 5, for legends on the page.
    """

    key: str
    label: str
    role: Role
    marker: str
    outline: str


ROLES = {
    role.name: role
    for role in (
        Role("paper", "#ffffff", "#14181d"),
        Role("ink", "#1a2027", "#e7eaee"),
        Role("muted", "#5c6773", "#9eabb8"),
        Role("line", "#c9d0d7", "#3c4752"),
        Role("faint", "#e9ecef", "#242c34"),
        Role("wash", "#f4f6f8", "#1b2129"),
        Role("accent", "#0b6cb0", "#5ab4ee"),
        Role("warn", "#b3400a", "#ff9a66"),
    )
}

FAMILIES = (
    Family(
        "runtime",
        "runtime only",
        Role("f-runtime", "#0072b3", "#58b4ec"),
        "o",
        "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    ),
    Family("quantize", "quantized", Role("f-quantize", "#b98300", "#e9b73f"), "s", "M-3.6-3.6h7.2v7.2h-7.2z"),
    Family("prune", "pruned", Role("f-prune", "#00896a", "#33c79a"), "^", "M0-4.5L4.5 3.6h-9z"),
    Family(
        "replicate", "replicated", Role("f-replicate", "#b1568e", "#e391c3"), "D", "M0-4.6L4.6 0 0 4.6-4.6 0z"
    ),
    Family(
        "precision", "lower precision", Role("f-precision", "#4a63c6", "#93a7ff"), "v", "M0 4.5L4.5-3.6h-9z"
    ),
    Family(
        "combined",
        "combined",
        Role("f-combined", "#c23d00", "#ff8f5a"),
        "P",
        "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
    ),
    Family(
        "other", "other", Role("f-other", "#6b5b4d", "#c3b3a4"), "h", "M-4.4 0L-2.2-4h4.4L4.4 0 2.2 4h-4.4z"
    ),
    Family(
        "baseline",
        "baseline",
        Role("f-baseline", "#4d5762", "#b4bec8"),
        "o",
        "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    ),
)
BY_KEY = {family.key: family for family in FAMILIES}


def color(role: str) -> str:
    """Return the light color of a role, which figures are drawn in."""
    return ROLES[role].light


def family_of(families: Sequence[str] | None, arm: str = "subject") -> Family:
    """Return the family that a technique with steps of these families is drawn as."""
    if arm == "baseline":
        return BY_KEY["baseline"]
    distinct = sorted(set(families or ()))
    if not distinct:
        return BY_KEY["runtime"]
    if len(distinct) > 1:
        return BY_KEY["combined"]
    return BY_KEY.get(distinct[0], BY_KEY["other"])


def variables(theme: str) -> str:
    """Return the CSS declarations of all colors for the theme ``light`` or ``dark``."""
    roles = [*ROLES.values(), *(family.role for family in FAMILIES)]
    return "".join(f"--{role.name}:{getattr(role, theme)};" for role in roles)


def substitutions() -> dict[str, str]:
    """Return the CSS variable that replaces each light color on the page."""
    roles = [*ROLES.values(), *(family.role for family in FAMILIES)]
    return {role.light: f"var(--{role.name})" for role in roles}
