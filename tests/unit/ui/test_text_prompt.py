"""Words typed into the window: offered, found, not found, corrected, and taken as the label."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from maskwright.core.prompts import Point, Text
from tests.fakes import FAKE_CARD, FakeSegmenter

from .conftest import CTRL, Driver, until

Key = Qt.Key
CARD = replace(
    FAKE_CARD,
    prompts=("point", "box", "scribble", "text"),
    text_shape=(1, 4),
    text_floor=0.3,
    labels=("kidney tumor", "left kidney", "liver", "right kidney"),
)


@pytest.fixture
def reading(driver: Driver, photo, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A window on a photo, with a model that finds livers."""
    from maskwright.inference.not_found import asked, judged

    plain = FakeSegmenter.segment

    def segment(self, features, prompts, *, previous=None, **options):
        said, previous, left_out = asked(prompts, previous)
        answer = plain(self, features, said, previous=previous, **options)
        known = said.text == "liver"
        answer.mask[:50] |= known
        answer = replace(answer, score=0.8 if known else 0.1)
        return judged(answer, said, floor=self.card.text_floor, left_out=left_out)

    monkeypatch.setattr(FakeSegmenter, "segment", segment)
    driver.segmenter.card = CARD
    driver.open(photo)
    return driver


def bar(driver: Driver):
    return driver.window.prompt_bar


def typed(driver: Driver, text: str) -> None:
    """Begin, type and press Enter, and wait for the answer."""
    driver.key(Key.Key_T, CTRL)
    until(lambda: bar(driver).field.hasFocus())
    QTest.keyClicks(bar(driver).field, text)
    QTest.keyClick(bar(driver).field, Key.Key_Return)
    until(lambda: driver.session.preview_is_current)


def button(driver: Driver, start: str) -> QPushButton:
    return next(one for one in bar(driver).findChildren(QPushButton) if one.text().startswith(start))


def test_without_text_in_the_card_there_is_nothing_to_type(driver: Driver, photo):
    driver.open(photo)
    action = driver.window.actions_["tool.text"]
    assert not action.isVisible() and not action.isEnabled()
    driver.key(Key.Key_T, CTRL)
    assert not bar(driver).isVisible()


def test_the_words_of_the_card_are_offered(reading: Driver):
    assert reading.window.actions_["tool.text"].isVisible()
    reading.key(Key.Key_T, CTRL)
    field = bar(reading).field
    until(field.hasFocus)
    QTest.keyClicks(field, "KIDNEY")
    assert field.offered() == ["kidney tumor", "left kidney", "right kidney"]
    QTest.keyClicks(field, " t")
    assert field.offered() == ["kidney tumor"]
    popup = field.popup
    until(popup.isVisible)
    QTest.keyClick(popup, Key.Key_Down)
    QTest.keyClick(popup, Key.Key_Return)
    until(lambda: bool(reading.session.prompts))
    assert reading.session.prompts.items == (Text("kidney tumor"),)
    assert not popup.isVisible() and not field.isVisible()


def test_a_click_on_an_offered_word_says_it(reading: Driver):
    reading.key(Key.Key_T, CTRL)
    field = bar(reading).field
    until(field.hasFocus)
    QTest.keyClicks(field, "live")
    popup = field.popup
    until(popup.isVisible)
    place = popup.visualRect(popup.model().index(0, 0)).center()
    QTest.mouseClick(popup.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    until(lambda: bool(reading.session.prompts))
    assert reading.session.prompts.items == (Text("liver"),)


def test_found_words_show_a_mask_and_what_they_were(reading: Driver):
    typed(reading, "liver")
    assert reading.session.prompts.items == (Text("liver"),)
    assert reading.view.hasFocus() and not bar(reading).field.isVisible()
    assert bar(reading).text == "“liver” · New Object · 1 prompt"
    assert button(reading, "Commit").isEnabled()
    reading.key(Key.Key_Return)
    assert len(reading.session.annotation.objects) == 1 and not bar(reading).isVisible()


def test_words_that_name_nothing_say_so_and_a_click_corrects(reading: Driver):
    typed(reading, "xylophone")
    until(lambda: bar(reading).text == "No “xylophone” was found in this picture.")
    assert reading.view.scene.preview is None
    assert not button(reading, "Commit").isEnabled()
    reading.click(100, 75)
    assert "New Object · 2 prompts" in bar(reading).text
    assert button(reading, "Commit").isEnabled() and reading.view.scene.preview is not None
    mask = reading.session.preview_mask
    assert mask is not None and mask[75, 100] and not mask[:50].any()


def test_letters_and_enter_belong_to_the_line_while_it_is_typed_in(reading: Driver):
    reading.click(100, 75)
    reading.key(Key.Key_T, CTRL)
    field = bar(reading).field
    until(field.hasFocus)
    QTest.keyClicks(field, "by 1t")  # each is a command elsewhere
    assert field.text() == "by 1t" and reading.session.labels.by_name("by 1t") is None
    QTest.keyClick(field, Key.Key_Z, CTRL)
    assert reading.session.prompts.items == (Point(100, 75),) or len(reading.session.prompts) == 1
    QTest.keyClick(field, Key.Key_Escape)
    until(lambda: reading.view.hasFocus())
    assert not field.isVisible() and bar(reading).isVisible()  # the click is still there
    assert len(reading.session.prompts) == 1 and not reading.session.annotation.objects


def test_escape_leaves_nothing_where_nothing_was(reading: Driver):
    reading.key(Key.Key_Slash)
    field = bar(reading).field
    until(field.hasFocus)
    assert bar(reading).isVisible()
    QTest.keyClick(field, Key.Key_Escape)
    QApplication.processEvents()
    assert not bar(reading).isVisible() and not reading.session.prompts


def test_the_words_are_there_to_be_changed(reading: Driver):
    typed(reading, "lung")
    reading.key(Key.Key_T, CTRL)
    field = bar(reading).field
    until(field.hasFocus)
    assert field.text() == field.selectedText() == "lung"
    QTest.keyClicks(field, "liver")
    QTest.keyClick(field, Key.Key_Return)
    until(lambda: reading.session.preview_is_current and reading.session.not_found == "")
    assert reading.session.prompts.items == (Text("liver"),)


@pytest.mark.parametrize("by_key", [True, False])
def test_the_label_that_the_words_suggest_is_one_press_away(reading: Driver, by_key: bool):
    typed(reading, "liver")
    suggestion = button(reading, "Label it")
    until(suggestion.isVisible)
    assert suggestion.text() == "Label it “liver”"
    if by_key:
        reading.key(Key.Key_Y)
    else:
        QTest.mouseClick(suggestion, Qt.MouseButton.LeftButton)
    label = reading.session.labels.by_name("liver")
    assert label is not None and reading.session.active_label == label.id
    assert not suggestion.isVisible() and "New liver" in bar(reading).text
    reading.key(Key.Key_Return)
    assert [one.label_id for one in reading.session.annotation.objects] == [label.id]


def test_without_words_there_is_no_suggestion(reading: Driver):
    reading.click(100, 75)
    assert not any(
        one.text().startswith("Label it") and one.isVisible() for one in bar(reading).findChildren(QPushButton)
    )
    reading.key(Key.Key_Y)
    assert len(reading.session.labels) == 1
