"""fscil-bench: run a protocol and write its tables. See README.md; `python run_all.py --help` lists the options."""

from __future__ import annotations

import sys

from benchmarks.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
