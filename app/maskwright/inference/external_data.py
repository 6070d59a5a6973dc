"""Finds which other files an ONNX file takes its weights from, without loading it: that could be any file on disk.

Reads the protocol buffer's structure alone (https://protobuf.dev/programming-guides/encoding/); numbers of the fields
are those of onnx.proto. Weights are skipped, so that a file of gigabytes is read in milliseconds.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from maskwright.core.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE, FUNCTION, TRAINING, ENTRY = range(9)
WITHIN = {
    MODEL: {7: GRAPH, 20: TRAINING, 25: FUNCTION},
    TRAINING: {1: GRAPH, 2: GRAPH},
    FUNCTION: {7: NODE, 11: ATTRIBUTE},
    GRAPH: {1: NODE, 5: TENSOR, 15: SPARSE},
    NODE: {5: ATTRIBUTE},
    ATTRIBUTE: {5: TENSOR, 6: GRAPH, 10: TENSOR, 11: GRAPH, 22: SPARSE, 23: SPARSE},
    SPARSE: {1: TENSOR, 2: TENSOR},
    TENSOR: {13: ENTRY},
}
"""Message -> number of a field -> kind of the message in it, for all fields that can lead to a tensor."""


def external_files(path: Path) -> tuple[str, ...]:
    """Locations that the tensors of an ONNX file name, sorted, as they stand there.

    Raises ModelError where the file is not a protocol buffer or cannot be read.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return tuple(sorted(set(_locations(data, 0, len(data), MODEL))))
    except (OSError, ValueError, RecursionError) as error:  # an empty file cannot be mapped: ValueError
        raise ModelError(
            "ONNX Runtime cannot open this file: it is not ONNX", path=path, hint="Install the model again."
        ) from error


def _locations(data: mmap.mmap, at: int, end: int, kind: int) -> Iterator[str]:
    within = WITHIN[kind]
    for number, start, stop in _fields(data, at, end):
        inner = within.get(number)
        if inner == ENTRY:
            entry = {n: bytes(data[a:b]) for n, a, b in _fields(data, start, stop)}
            if entry.get(1) == b"location":
                yield entry.get(2, b"").decode("utf-8", "replace")
        elif inner is not None:
            yield from _locations(data, start, stop, inner)


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field that holds bytes."""
    while at < end:
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if wire == BYTES:
            size, at = _varint(data, at, end)
            if at + size > end:
                raise ValueError("a field runs over its message")
            yield tag >> 3, at, at + size
            at += size
        elif wire == VARINT:
            _, at = _varint(data, at, end)
        elif wire in (FIXED64, FIXED32):
            at += 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
    if at > end:
        raise ValueError("a field runs over its message")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= end or shift > 63:
            raise ValueError("a number runs over its message")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
