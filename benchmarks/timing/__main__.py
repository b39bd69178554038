"""Measure and print: `python -m benchmarks.timing > docs/PERFORMANCE.measured.md` on a quiet machine."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.errors import USER_ERRORS
from benchmarks.quiet import hush
from benchmarks.settings import Settings, add_options


def main(arguments: list[str]) -> int:
    hush()
    p = argparse.ArgumentParser(prog="python -m benchmarks.timing", description="Time the suite against bare torch and stock Avalanche.")
    p.add_argument("--only", choices=["base", "session", "evaluation"], action="append")
    p.add_argument("--rounds", type=int, default=5)
    add_options(p)
    o = p.parse_args(arguments)
    from benchmarks.precision import make_deterministic
    from benchmarks.timing.sections import NETS, Bench, base_training, evaluation, incremental_session

    make_deterministic(o.threads)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(Settings(o.data_root.resolve(), Path(scratch), o.device, o.threads), o.rounds)
            wanted = o.only or ["base", "session", "evaluation"]
            if "base" in wanted:
                print("### base\n\n" + base_training(bench) + "\n", flush=True)
            for net in NETS:
                if "session" in wanted:
                    print(f"### session {net}\n\n" + incremental_session(bench, net) + "\n", flush=True)
                if "evaluation" in wanted:
                    print(f"### eval {net}\n\n" + evaluation(bench, net) + "\n", flush=True)
    except USER_ERRORS as error:
        print(f"timing: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
