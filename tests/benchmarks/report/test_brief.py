"""The short table at the end of a command."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.report.brief import brief, fitted
from benchmarks.system.errors import RecordError
from tests.benchmarks.conftest import MakeRecord


def table(sessions: int) -> pd.DataFrame:
    columns = {"Seeds": 2, **{str(number): 99.0 - number for number in range(sessions)}, "Average": 50.0, "PD": 9.0, "Harmonic mean": 0.04}
    return pd.DataFrame.from_dict({"BaseOnly": columns, "LEC-Net (paper)": {**columns, "Seeds": 1}}, orient="index").rename_axis("Method")


def test_it_fits_the_terminal() -> None:
    assert fitted(table(3), 2, 80).splitlines() == [
        "Method            Seeds     0     1     2  Average  Harmonic mean",
        "BaseOnly              2  99.0  98.0  97.0     50.0            0.0",
        "LEC-Net (paper)  1 of 2  99.0  98.0  97.0     50.0            0.0",
    ]
    narrow = fitted(table(11), 2, 80).splitlines()
    assert max(map(len, narrow)) <= 80
    assert narrow[0].split() == ["Method", "Seeds", "0", "1", "2", "3", "10", "Average", "Harmonic", "mean"]
    assert fitted(table(11), 2, 30) == fitted(table(11), 2, 60), "no figure is cut, however narrow the terminal"
    long = table(11).rename(index={"BaseOnly": "MarginTune (wide, epochs=25, margin=0.5, pull=0.25, smoothing=0.15)"})
    cut = fitted(long, 2, 80).splitlines()
    assert cut[1].startswith("MarginTune (wide, epochs=25, margin") and "…  " in cut[1] and cut[1].endswith("0.0")
    assert {len(line) for line in cut} == {80}


def test_means_over_seeds(make_record: MakeRecord) -> None:
    records = [make_record("proto:raw_mean", 0), make_record("base_only:default", 0), make_record("proto:raw_mean", 1)]
    shown = brief(records)
    assert list(shown["Seeds"]) == [2, 1], "in the order of the records"
    last = str(len(records[0].sessions) - 1)
    means = [100 * sum(r.sessions[-1].correct) / sum(r.sessions[-1].total) for r in records if r.identity.method == "proto"]
    assert shown[last].iloc[0] == pytest.approx(sum(means) / 2)
    assert shown["PD"].iloc[0] == pytest.approx(shown["0"].iloc[0] - shown[last].iloc[0])


def test_what_does_not_belong_in_one_table_is_refused(make_record: MakeRecord) -> None:
    one = make_record("proto:raw_mean", 0)
    with pytest.raises(RecordError, match="more than one record"):
        brief([one, one])
    for several in ([], [one, make_record("proto:raw_mean", 1, recipe="slow")]):
        with pytest.raises(RecordError, match="records of one protocol, recipe and split"):
            brief(several)
    with pytest.raises(RecordError, match="proto:raw_mean was run in bf16 and fp32: take the records of one"):
        brief([one, make_record("proto:raw_mean", 1, precision="bf16")])
    other = make_record("base_only:default", 1, precision="bf16")
    assert len(brief([one, other])) == 2, "no mean is over both"
    with pytest.raises(RecordError, match="a mean is over seeds alone, and proto:raw_mean was run under several settings"):
        brief([one, make_record("proto:raw_mean", 1, version=7)])
