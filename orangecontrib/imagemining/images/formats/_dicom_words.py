"""What a DICOM file's words say of its frames."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

__all__ = ["Scale", "n_frames_of", "order_of", "pixel_size_of", "scales_of", "whole"]

_FRAME_TIMES = (0x00181063, 0x00181065)  # that frames follow each other in time


class Scale(NamedTuple):
    """What a stored number times `slope` plus `intercept` stands for."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_whole(self) -> bool:
        return self.slope.is_integer() and self.intercept.is_integer()

    def of(self, low: float, high: float) -> tuple[float, float]:
        """Return the smallest and the largest of what the numbers between become."""
        ends = [number * self.slope + self.intercept for number in (low, high)]
        return min(ends), max(ends)


def n_frames_of(dataset: Any) -> int:
    """Return how many frames the file says to have."""
    return whole(dataset.get("NumberOfFrames"), 1)


def whole(value: Any, default: int) -> int:
    """Return an element's number, which may be missing or empty."""
    return default if value is None or value == "" else int(value)


def _number(value: Any, default: float) -> float:
    if value is None or value == "":
        return default
    number = float(value)
    return number if math.isfinite(number) else default


def _groups(dataset: Any, index: int | None = None) -> list[Any]:
    """Return where things are said: of the frame, of all frames, of the file."""
    places = []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if per_frame and index is not None and index < len(per_frame):
        places.append(per_frame[index])
    places.extend(dataset.get("SharedFunctionalGroupsSequence") or ())
    return places


def scales_of(dataset: Any, n_frames: int) -> list[Scale]:
    """Return what the numbers of each frame stand for."""

    def of(item: Any) -> Scale:
        slope = _number(item.get("RescaleSlope"), 1.0)
        return Scale(slope or 1.0, _number(item.get("RescaleIntercept"), 0.0))

    if not dataset.get("PerFrameFunctionalGroupsSequence"):
        for group in _groups(dataset):
            if found := group.get("PixelValueTransformationSequence"):
                return [of(found[0])] * n_frames
        return [of(dataset)] * n_frames
    scales = []
    for index in range(n_frames):
        for group in _groups(dataset, index):
            if found := group.get("PixelValueTransformationSequence"):
                scales.append(of(found[0]))
                break
        else:
            scales.append(of(dataset))
    return scales


def order_of(dataset: Any, n_frames: int) -> tuple[list[int], int, int]:
    """Return the frames by time, then depth; how many times; how many depths."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    keys = []
    for group in list(per_frame)[:n_frames]:
        content = (group.get("FrameContentSequence") or [{}])[0]
        time = whole(content.get("TemporalPositionIndex"), 1)
        stack, place = (
            content.get("StackID") or "",
            content.get("InStackPositionNumber"),
        )
        keys.append((time, (str(stack), whole(place, 1))))
    times, depths = ({key[axis] for key in keys} for axis in (0, 1))
    if len(set(keys)) == n_frames == len(times) * len(depths):
        order = sorted(range(n_frames), key=lambda index: keys[index])
        return order, len(times), len(depths)
    pointer = dataset.get("FrameIncrementPointer")
    if isinstance(pointer, int):  # one, not a list of them
        pointer = [pointer]
    in_time = any(int(tag) in _FRAME_TIMES for tag in pointer or ()) or (
        not pointer and any(tag in dataset for tag in _FRAME_TIMES)
    )
    order = list(range(n_frames))
    return (order, n_frames, 1) if in_time else (order, 1, n_frames)


def pixel_size_of(dataset: Any) -> tuple[float, float] | None:
    """Return width and height in µm."""
    measures = [group.get("PixelMeasuresSequence") for group in _groups(dataset, 0)]
    for item in [found[0] for found in measures if found] + [dataset]:
        spacing = item.get("PixelSpacing")
        if spacing is None or len(spacing) != 2:
            continue
        height, width = (1000 * _number(value, 0.0) for value in spacing)
        if width > 0 and height > 0:
            return width, height
    return None
