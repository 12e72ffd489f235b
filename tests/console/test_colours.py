from __future__ import annotations

import re
from itertools import product

import pytest

from tests.console import SOURCES

ON = ("surface", "ground", "raised", "hover", "added", "removed", "added-text", "removed-text",
      "selection")  # fmt: skip
WORDS = ("good", "warning", "error", "accent")
LEAST = 4.5
"""Contrast of text, as WCAG 2.2 AA has it."""


def colours(scheme: str) -> dict[str, str]:
    """Those of the style sheet by name, in light or in dark."""
    text = (SOURCES / "src/style.css").read_text()
    light, dark, *_ = re.findall(r":root \{(.*?)\n *\}", text, re.DOTALL)
    block = light if scheme == "light" else light + dark
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """How far two colours are apart, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    """Every colour of text can be read on every ground that it may stand on."""
    found = colours(scheme)
    code = [name for name in found if name.startswith("code-")]
    assert len(code) == 5
    pairs = [
        *product([*code, "text"], ON),
        *product([*WORDS, "muted"], ("surface", "ground", "raised")),
        *((word, f"{word}-soft") for word in WORDS),
        *(("text", f"{word}-soft") for word in WORDS),
        ("on-accent", "accent"),
    ]
    low = {pair: contrast(*(found[name] for name in pair)) for pair in pairs}
    assert [pair for pair, value in low.items() if value < LEAST] == []
