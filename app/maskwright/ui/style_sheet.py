"""The Qt style sheet, one rule set for both themes; widgets opt in through object names and the `kind` property."""

from __future__ import annotations

from typing import Any

_TEMPLATE = """
QWidget {{ color: {text}; }}
QMainWindow, QDialog {{ background: {window}; }}
QToolTip {{ background: {raised}; color: {text}; border: 1px solid {line_strong}; padding: 4px 8px; }}

QMenuBar {{ background: {surface}; border-bottom: 1px solid {line}; padding: 2px 4px; }}
QMenuBar::item {{ padding: 4px 10px; border-radius: 6px; background: transparent; }}
QMenuBar::item:selected {{ background: {accent_soft}; }}
QMenu {{ background: {raised}; border: 1px solid {line_strong}; padding: 4px; }}
QMenu::item {{ padding: 6px 24px 6px 12px; border-radius: 6px; }}
QMenu::item:selected {{ background: {accent_soft}; color: {text}; }}
QMenu::item:disabled {{ color: {muted}; }}
QMenu::separator {{ height: 1px; background: {line}; margin: 4px 8px; }}
QMenu::icon {{ padding-left: 8px; }}

QToolBar {{ background: {surface}; border: 0; border-bottom: 1px solid {line}; padding: 4px 8px; spacing: 4px; }}
QToolBar#tools {{ border-bottom: 0; border-right: 1px solid {line}; padding: 8px 4px; }}
QToolBar::separator {{ background: {line}; width: 1px; height: 1px; margin: 6px; }}
QToolButton {{ background: transparent; border: 1px solid transparent; border-radius: 6px; padding: 5px; }}
QToolButton:hover {{ background: {sunken}; }}
QToolButton:pressed {{ background: {accent_soft}; }}
QToolButton:checked {{ background: {accent_soft}; border-color: {accent}; }}
QToolButton:disabled {{ color: {muted}; }}
QToolButton:focus {{ border-color: {accent}; }}
QToolButton[popupMode="2"], QToolButton[kind="text"] {{ padding: 5px 10px; }}
QToolButton::menu-indicator {{ image: none; }}

QPushButton {{ background: {raised}; border: 1px solid {line_strong}; border-radius: 6px; padding: 6px 16px;
  min-height: 20px; }}
QPushButton:hover {{ border-color: {accent}; }}
QPushButton:pressed {{ background: {accent_soft}; }}
QPushButton:disabled {{ color: {muted}; border-color: {line}; }}
QPushButton:focus {{ border-color: {accent}; }}
QPushButton[kind="primary"] {{ background: {accent}; border-color: {accent}; color: {on_accent}; font-weight: 600; }}
QPushButton[kind="primary"]:hover {{ background: {accent_hover}; border-color: {accent_hover}; }}
QPushButton[kind="primary"]:disabled {{ background: {sunken}; border-color: {line}; color: {muted}; }}
QPushButton[kind="primary"]:focus {{ border: 2px solid {text}; padding: 5px 15px; }}
QPushButton[kind="quiet"] {{ background: transparent; border-color: transparent; color: {accent}; padding: 6px 8px; }}
QPushButton[kind="quiet"]:hover {{ background: {accent_soft}; }}
QPushButton[kind="quiet"]:focus {{ border-color: {accent}; }}
QPushButton[kind="quiet"]:disabled {{ color: {muted}; }}

QLineEdit, QComboBox, QKeySequenceEdit, QPlainTextEdit, QTextBrowser {{ background: {surface}; color: {text};
  border: 1px solid {line_strong}; border-radius: 6px; padding: 5px 8px; selection-background-color: {accent};
  selection-color: {on_accent}; }}
QComboBox, QLineEdit {{ min-height: 20px; }}
QKeySequenceEdit {{ padding: 0; border: 0; }}
QLineEdit:focus, QComboBox:focus, QPlainTextEdit:focus, QTextBrowser:focus {{ border-color: {accent}; }}
QComboBox::drop-down {{ border: 0; width: 24px; }}
QComboBox::down-arrow {{ image: url("{chevron}"); width: 14px; height: 14px; }}
QComboBox QAbstractItemView {{ background: {raised}; border: 1px solid {line_strong}; padding: 4px;
  selection-background-color: {accent_soft}; selection-color: {text}; }}
QCheckBox, QRadioButton {{ spacing: 8px; }}

QScrollArea, QScrollArea > QWidget > QWidget#rows {{ background: transparent; border: 0; }}
QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 0; }}
QScrollBar::handle {{ background: {line_strong}; border-radius: 3px; margin: 2px; min-height: 24px; min-width: 24px; }}
QScrollBar::handle:hover {{ background: {muted}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}

QTableView, QTreeView, QListView {{ background: {surface}; border: 1px solid {line}; border-radius: 6px;
  gridline-color: {line}; selection-background-color: {accent_soft}; selection-color: {text}; outline: 0; }}
QTableView::item, QListView::item {{ padding: 4px 8px; }}
QHeaderView::section {{ background: {window}; color: {muted}; border: 0; border-bottom: 1px solid {line};
  padding: 6px 8px; }}

QWidget#sidebar {{ background: {surface}; border-left: 1px solid {line}; }}
QWidget#panelHead {{ background: transparent; }}
QLabel#panelTitle {{ color: {text}; font-weight: 600; }}
QLabel[kind="count"] {{ color: {muted}; }}
QLabel[kind="muted"] {{ color: {muted}; }}
QLabel[kind="error"] {{ color: {danger}; }}
QLabel[kind="good"] {{ color: {good}; }}
QLabel[kind="key"] {{ color: {muted}; background: {sunken}; border-radius: 4px; padding: 1px 6px; }}
QFrame#rule {{ background: {line}; border: 0; max-height: 1px; min-height: 1px; }}
QFrame#row {{ background: transparent; border: 1px solid transparent; border-radius: 6px; }}
QFrame#row:hover {{ background: {window}; }}
QFrame#row[current="true"] {{ background: {accent_soft}; border-color: {accent}; }}
QFrame#row:focus {{ border-color: {accent}; }}
QFrame#row QToolButton {{ padding: 3px; }}

QWidget#sliceBar {{ background: {surface}; border-top: 1px solid {line}; }}
QStatusBar {{ background: {surface}; border-top: 1px solid {line}; }}
QStatusBar::item {{ border: 0; }}
QStatusBar QLabel {{ color: {muted}; padding: 0 8px; }}
QStatusBar QLabel[kind="error"] {{ color: {danger}; }}

QWidget#welcome {{ background: {window}; }}
QFrame#dropZone {{ background: {surface}; border: 2px dashed {line_strong}; border-radius: 12px; }}
QFrame#dropZone[over="true"] {{ border-color: {accent}; background: {accent_soft}; }}
QFrame#dropZone QLabel {{ background: transparent; }}

QFrame#promptBar {{ background: {raised}; border: 1px solid {line_strong}; border-radius: 10px; }}
QFrame#promptBar QLabel {{ background: transparent; }}
QFrame#notice {{ background: {raised}; border: 1px solid {line_strong}; border-radius: 8px; }}
QFrame#notice[kind="error"] {{ border-color: {danger}; }}
QFrame#notice QLabel {{ background: transparent; }}

QTabWidget::pane {{ background: {surface}; border: 1px solid {line}; border-radius: 6px; }}
QTabBar::tab {{ background: transparent; color: {muted}; padding: 6px 16px; border-bottom: 2px solid transparent; }}
QTabBar::tab:selected {{ color: {text}; border-bottom-color: {accent}; }}

QProgressBar {{ background: {sunken}; border: 0; border-radius: 3px; max-height: 6px; min-height: 6px; }}
QProgressBar::chunk {{ background: {accent}; border-radius: 3px; }}
"""


def style_sheet(tokens: Any, *, chevron: str = "") -> str:  # noqa: ANN401 (Tokens; theme.py imports this file)
    """Style sheet of a theme; `chevron` is the file that a drop-down shows as its arrow."""
    colors = {name: getattr(tokens, name) for name in tokens.__slots__}
    return _TEMPLATE.format(**colors, chevron=chevron)
