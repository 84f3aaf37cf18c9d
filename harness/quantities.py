"""Times and sizes as people read them."""

from __future__ import annotations


def say_seconds(seconds: float) -> str:
    """242 → ``4 m 02 s``; 3.2 → ``3.2 s``; from an hour on, rounded to minutes: 3700 → ``1 h 02 m``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} m"


def say_bytes(size: float) -> str:
    """1234567 → ``1.2 MB`` (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
