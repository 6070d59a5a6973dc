"""The look of the window: two hand-tuned palettes, one accent, and the style sheet made from them."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from maskwright.assets import icons_folder
from maskwright.ui.style_sheet import style_sheet

UNIT = 8  # px; every margin and gap is a multiple of half of it


@dataclass(frozen=True, slots=True)
class Tokens:
    """Named colours of one theme, as ``#rrggbb``; text colours keep a contrast of at least 4.5 : 1 on their surface."""

    name: str
    window: str  # behind panels
    surface: str  # panels, lists, dialogs
    raised: str  # buttons, menus
    sunken: str  # tracks, code
    line: str
    line_strong: str
    text: str
    muted: str
    accent: str
    accent_hover: str
    accent_soft: str
    on_accent: str
    danger: str
    good: str
    warn: str
    canvas: str  # behind the picture


LIGHT = Tokens(
    name="light",
    window="#f3f5f8",
    surface="#ffffff",
    raised="#ffffff",
    sunken="#e9edf2",
    line="#dce2e9",
    line_strong="#bcc6d1",
    text="#1a222c",
    muted="#566271",
    accent="#1768a6",
    accent_hover="#11568c",
    accent_soft="#e2eef8",
    on_accent="#ffffff",
    danger="#b3342c",
    good="#1f7a55",
    warn="#8f5b00",
    canvas="#1b1f24",
)

DARK = Tokens(
    name="dark",
    window="#15181c",
    surface="#1b1f24",
    raised="#242930",
    sunken="#101316",
    line="#2b3139",
    line_strong="#454e59",
    text="#e3e8ee",
    muted="#97a3b0",
    accent="#5aa9e6",
    accent_hover="#7bbcee",
    accent_soft="#1c3347",
    on_accent="#08131d",
    danger="#ec7a70",
    good="#5cbf93",
    warn="#dba74a",
    canvas="#0b0d0f",
)

# Over the picture the colours do not follow the theme: bluish green and vermilion stay apart for every kind of colour
# vision (Okabe and Ito, 2008), and each also carries its own sign.
POSITIVE = "#00a878"
NEGATIVE = "#e4572e"
ON_CANVAS = "#eef2f6"
ON_CANVAS_MUTED = "#a9b4bf"


def system_tokens() -> Tokens:
    """Tokens of the theme that the desktop asks for; light where it does not say."""
    return DARK if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark else LIGHT


def tokens_of(name: str) -> Tokens:
    """Tokens of a theme: ``light``, ``dark``, or for any other name what the desktop asks for."""
    return {"light": LIGHT, "dark": DARK}.get(name) or system_tokens()


def apply_theme(tokens: Tokens) -> None:
    """Give every widget of the application this theme."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        raise ValueError("there is no application to give a theme to")
    app.setStyle("Fusion")
    app.setPalette(_palette(tokens))
    app.setStyleSheet(style_sheet(tokens, chevron=(icons_folder() / "combo-arrow.svg").as_posix()))
    app.setProperty("maskwright_theme", tokens.name)


def current_tokens() -> Tokens:
    """Tokens last given to `apply_theme`, or the system's before that."""
    app = QApplication.instance()
    name = app.property("maskwright_theme") if app is not None else None
    return {"light": LIGHT, "dark": DARK}.get(str(name), LIGHT) if name else system_tokens()


def font(scale: float = 1.0, *, bold: bool = False) -> QFont:
    """The system's font at a multiple of its own size."""
    base = QFont(QApplication.font())
    if base.pointSizeF() > 0:
        base.setPointSizeF(base.pointSizeF() * scale)
    else:
        base.setPixelSize(max(1, round(base.pixelSize() * scale)))
    base.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
    return base


def numeric_font(scale: float = 1.0) -> QFont:
    """The system's font with digits of equal width, so that counters do not dance."""
    base = font(scale)
    base.setFeature(QFont.Tag("tnum"), 1)
    return base


def _palette(t: Tokens) -> QPalette:
    roles = QPalette.ColorRole
    palette = QPalette()
    pairs = {
        roles.Window: t.window,
        roles.WindowText: t.text,
        roles.Base: t.surface,
        roles.AlternateBase: t.window,
        roles.Text: t.text,
        roles.Button: t.raised,
        roles.ButtonText: t.text,
        roles.ToolTipBase: t.raised,
        roles.ToolTipText: t.text,
        roles.PlaceholderText: t.muted,
        roles.Highlight: t.accent,
        roles.HighlightedText: t.on_accent,
        roles.Link: t.accent,
        roles.Mid: t.line,
        roles.Dark: t.line_strong,
        roles.Light: t.surface,
    }
    for role, color in pairs.items():
        palette.setColor(role, QColor(color))
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(t.muted))
    return palette
