"""Predicted labels: plain arrays without a clock, from which a record's counts follow."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.records.predictions import pack_predictions, recount

LABELS = np.array([0, 1, 1, 2], dtype=np.int16)
PREDICTIONS = [np.array([0, 1, 0], dtype=np.int16), np.array([2, 1, 1, 2], dtype=np.int16)]


def test_plain_arrays_without_a_clock() -> None:
    packed = pack_predictions(PREDICTIONS, LABELS)
    assert packed == pack_predictions([array.copy() for array in PREDICTIONS], LABELS.copy())
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    with np.load(io.BytesIO(packed), allow_pickle=False) as loaded:
        assert sorted(loaded.files) == ["labels", "session00", "session01"]
        for name, array in zip(sorted(loaded.files), [LABELS, *PREDICTIONS], strict=True):
            assert loaded[name].dtype == np.int16
            np.testing.assert_array_equal(loaded[name], array)


def test_counts_by_hand() -> None:
    assert recount(pack_predictions(PREDICTIONS, LABELS)) == [((1, 1), (1, 2)), ((0, 2, 1), (1, 2, 1))]


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1), min_size=1, max_size=12))
def test_counts_agree_with_counting(sessions: list[list[tuple[int, bool]]]) -> None:
    """Labels arrive in order: every session brings at least one image of each class up to its own number."""
    labels = np.array([number for number, session in enumerate(sessions) for _ in session], dtype=np.int16)
    answers = np.array([other if wrong else number for number, session in enumerate(sessions) for other, wrong in session], dtype=np.int16)
    ends = np.cumsum([len(session) for session in sessions])
    found = recount(pack_predictions([answers[:end] for end in ends], labels))
    for number, (right, total) in enumerate(found):
        seen = range(number + 1)
        assert total == tuple(len(sessions[k]) for k in seen)
        assert right == tuple(sum(a == k for a, b in zip(answers, labels, strict=True) if b == k) for k in seen)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:100],
        lambda whole: whole[:-30],
        lambda whole: whole.replace(b"labels", b"lables"),
        lambda whole: pack_without_labels(),
    ],
)
def test_what_is_no_file_of_predictions(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match="not a whole file of predictions"):
        recount(damage(pack_predictions(PREDICTIONS, LABELS)))


def pack_without_labels() -> bytes:
    target = io.BytesIO()
    np.savez_compressed(target, session00=PREDICTIONS[0])
    return target.getvalue()
