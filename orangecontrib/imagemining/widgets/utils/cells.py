"""Draws an image with its captions in a cell."""

from __future__ import annotations

from AnyQt.QtCore import QRect, QSize, Qt
from AnyQt.QtGui import QColor, QFontMetrics, QImage, QPainter, QPalette, QPen

__all__ = [
    "MARGIN",
    "cell_size",
    "draw_captions",
    "draw_picture",
    "picture_rect",
]

MARGIN = 6  # pixels around a cell's contents
FRAME = 3  # width of a coloured frame
_SMALLEST_TEXT = 70  # narrower cells have no room for words
_PADDING = 3


def cell_size(image_size: int, metrics: QFontMetrics, n_captions: int) -> QSize:
    """Return the size of a cell whose image fits a square of `image_size`."""
    captions = n_captions * metrics.height() + (2 if n_captions else 0)
    side = image_size + 2 * MARGIN
    return QSize(side, side + captions)


def picture_rect(image: QImage, frame: QRect, ratio: float) -> QRect:
    """Return where in `frame` an image is drawn: in its middle, fitting.

    Parameters
    ----------
    image : of any size.
    frame : the space for it.
    ratio : device pixels for one of `frame`.
    """
    size = image.size() / ratio
    if size.width() > frame.width() or size.height() > frame.height():
        size = size.scaled(frame.size(), Qt.AspectRatioMode.KeepAspectRatio)
    elif size.width() < frame.width() and size.height() < frame.height():
        # made for a smaller cell; the right one is on its way
        size = size.scaled(frame.size(), Qt.AspectRatioMode.KeepAspectRatio)
    place = QRect(frame.topLeft(), size.expandedTo(QSize(1, 1)))
    place.moveCenter(frame.center())
    return place


def _middle_of(image: QImage) -> QRect:
    """Return the square in the middle of an image, in its pixels."""
    side = min(image.width(), image.height())
    part = QRect(0, 0, side, side)
    part.moveCenter(image.rect().center())
    return part


def draw_picture(
    painter: QPainter,
    frame: QRect,
    image: QImage | None,
    reason: str | None,
    palette: QPalette,
    colour: QColor | None = None,
    crop: bool = False,
) -> None:
    """Draw the image, or why there is none, in the square `frame`.

    Parameters
    ----------
    image : None if it is still to come, or cannot be read.
    reason : why it cannot be read.
    colour : of a frame around it.
    crop : fill `frame` with the middle of the image.
    """
    place = frame
    if image is not None and crop:
        painter.drawImage(frame, image, _middle_of(image))
    elif image is not None:
        place = picture_rect(image, frame, painter.device().devicePixelRatioF())
        painter.drawImage(place, image)
    else:
        painter.fillRect(frame, faint_text(palette, 24))
        if reason is not None:
            _draw_reason(painter, frame, reason, palette)
    if colour is not None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        pen = QPen(colour, FRAME if frame.width() >= _SMALLEST_TEXT else 2)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.drawRect(place.adjusted(-2, -2, 1, 1))
        # a frame of the ground's own colour is seen too
        painter.setPen(QPen(faint_text(palette, 90), 1))
        painter.drawRect(place.adjusted(-4, -4, 3, 3))


def faint_text(palette: QPalette, alpha: int) -> QColor:
    """Return the colour of text, of an opacity from 0 to 255."""
    colour = QColor(palette.color(QPalette.ColorRole.Text))
    colour.setAlpha(alpha)
    return colour


def _draw_reason(
    painter: QPainter, frame: QRect, reason: str, palette: QPalette
) -> None:
    painter.setPen(QPen(faint_text(palette, 150), 1.5))
    if frame.width() < _SMALLEST_TEXT:
        inner = QRect(0, 0, frame.width() // 3, frame.width() // 3)
        inner.moveCenter(frame.center())
        painter.drawLine(inner.topLeft(), inner.bottomRight())
        painter.drawLine(inner.topRight(), inner.bottomLeft())
        return
    painter.save()
    font = painter.font()
    if font.pointSizeF() > 0:
        font.setPointSizeF(font.pointSizeF() * 0.85)
    painter.setFont(font)
    painter.setClipRect(frame)
    space = frame.adjusted(_PADDING, _PADDING, -_PADDING, -_PADDING)
    flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
    needed = painter.boundingRect(space, flags, reason)
    if needed.height() > space.height():  # its beginning tells most
        flags = int(Qt.AlignmentFlag.AlignHCenter) | int(Qt.TextFlag.TextWordWrap)
    painter.drawText(space, flags, reason)
    painter.restore()


def draw_captions(
    painter: QPainter, space: QRect, captions: list[str], colour: QColor
) -> None:
    """Write one line a caption; the second and later ones fainter."""
    height = painter.fontMetrics().height()
    for number, caption in enumerate(captions):
        if number == 1:
            colour = QColor(colour)
            colour.setAlpha(160)
        painter.setPen(colour)
        line = QRect(space.left(), space.top() + number * height, space.width(), height)
        painter.drawText(line, int(Qt.AlignmentFlag.AlignCenter), caption)
