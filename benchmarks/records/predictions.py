"""Predicted labels of a run, stored beside its record: for confusion matrices, paired tests, and checks of the record's counts."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.records.schema import Record
from protocols.schema import Sessions

Labels = NDArray[np.int16]
Counts = tuple[tuple[int, ...], tuple[int, ...]]


def pack_predictions(predictions: Sequence[Labels], labels: Labels) -> bytes:
    """Packs the predicted labels of every session and the true `labels` of all test images into one compressed .npz.

    The images tested after session t are the first len(predictions[t]). The bytes contain no time stamp.
    """
    target = io.BytesIO()
    np.savez_compressed(target, allow_pickle=False, labels=labels, **{f"session{t:02d}": p for t, p in enumerate(predictions)})
    return target.getvalue()


def kept_predictions(record: Record) -> bytes | None:
    """The packed predictions beside a record; None if there are none, and for a record of schema 1."""
    path = record.beside(".npz")
    try:
        return path.read_bytes() if record.schema_version > 1 and path.is_file() else None
    except OSError:
        return None


def are_of(packed: bytes | None, record: Record) -> bool:
    """Whether these are the packed predictions of this record's run, so that its counts can be counted again."""
    return packed is not None and hashlib.sha256(packed).hexdigest() == record.predictions_sha256


def own_predictions(record: Record) -> bytes | None:
    """The packed predictions beside a record, if they are its run's."""
    packed = kept_predictions(record)
    return packed if are_of(packed, record) else None


def unpacked(packed: bytes) -> tuple[Labels, list[Labels]]:
    """The true labels of all test images, and the predicted ones of every session. Raises ValueError for anything but packed
    predictions."""
    if not zipfile.is_zipfile(io.BytesIO(packed)):  # numpy would take it for a pickle, and its error would say how to load one
        raise ValueError("not a whole file of predictions")
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            sessions = sorted((name for name in arrays.files if name != "labels"), key=lambda name: int(name.removeprefix("session")))
            return arrays["labels"], [arrays[name] for name in sessions]
    except (OSError, KeyError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"not a whole file of predictions ({error})") from None


def recount(packed: bytes) -> list[Counts]:
    """Correct predictions and test images per label, one pair per session. Raises ValueError for anything but packed predictions."""
    labels, predictions = unpacked(packed)
    counts = []
    for predicted in predictions:
        label = labels[: len(predicted)]
        right = np.bincount(label[predicted == label], minlength=int(label.max()) + 1)
        counts.append((tuple(map(int, right)), tuple(map(int, np.bincount(label)))))
    return counts


def origin_confusion(packed: bytes, sessions: Sessions) -> NDArray[np.int64]:
    """After the last session: number of test images [session that brought their class, session that brought the predicted class].

    Raises ValueError for anything but packed predictions of such sessions.
    """
    labels, predictions = unpacked(packed)
    origin = np.concatenate([np.full(len(sessions.span(t)), t) for t in range(sessions.count + 1)])
    predicted = predictions[-1] if predictions else labels[:0]
    true = labels[: len(predicted)]
    if any(len(several) and not 0 <= several.min() <= several.max() < len(origin) for several in (true, predicted)):
        raise ValueError("not predictions of these sessions")
    counts = np.zeros((sessions.count + 1, sessions.count + 1), np.int64)
    np.add.at(counts, (origin[true], origin[predicted]), 1)
    return counts
