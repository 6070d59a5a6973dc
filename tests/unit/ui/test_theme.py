from __future__ import annotations

import pytest
from PySide6.QtGui import QColor

from maskwright.ui.icons import icon, pixmap
from maskwright.ui.theme import DARK, LIGHT, UNIT, apply_theme, current_tokens


def luminance(color: str) -> float:
    parts = [QColor(color).redF(), QColor(color).greenF(), QColor(color).blueF()]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=lambda t: t.name)
def test_text_can_be_read(tokens):
    for surface in (tokens.window, tokens.surface, tokens.raised, tokens.accent_soft, tokens.sunken):
        assert contrast(tokens.text, surface) >= 7
        assert contrast(tokens.muted, surface) >= 4.5
    assert contrast(tokens.on_accent, tokens.accent) >= 4.5
    assert contrast(tokens.on_accent, tokens.accent_hover) >= 4.5
    for color in (tokens.accent, tokens.danger, tokens.good, tokens.warn):
        assert contrast(color, tokens.surface) >= 4.5


def test_spacing_has_one_unit():
    assert UNIT == 8


def test_a_theme_can_be_changed_while_running(qt):
    try:
        apply_theme(DARK)
        assert current_tokens() is DARK
        assert DARK.window in qt.styleSheet()
        apply_theme(LIGHT)
        assert current_tokens() is LIGHT
        assert LIGHT.window in qt.styleSheet()
    finally:
        apply_theme(LIGHT)


def test_an_icon_takes_the_colour_it_is_given(qt):
    image = pixmap("check", 24, "#ff0000").toImage()
    colors = {
        image.pixelColor(x, y).name() for x in range(24) for y in range(24) if image.pixelColor(x, y).alpha() > 250
    }
    assert colors == {"#ff0000"}


def test_an_icon_that_is_not_in_the_set_is_refused(qt):
    with pytest.raises(FileNotFoundError):
        icon("no-such-drawing")
