"""Writes a network's features of a protocol's images: a data set of its own, on which heads are trained in minutes (docs/DATA.md).

    python -m benchmarks.tools.extract --protocol cub200 --novel-seen possible --out data/cub200-features

The folder gets the features, a sidecar that says whose they are, and a protocol on them, NAME.yaml for a folder NAME. The images go through
PIL once, as in all of the suite, and through the network in evaluation mode; its weights must be there: none are made up.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks.system.errors import DataError, StorageError, UsageError
from benchmarks.system.settings import a_folder, a_number, threads_of
from benchmarks.system.surroundings import settle
from protocols.features import Seen
from protocols.own_folder import take_own_folder
from protocols.reading import InputError


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.tools.extract", description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    p.add_argument("--protocol", required=True, help="whose images are shown: a name of protocols/, or a path to a YAML file")
    p.add_argument("--out", type=a_folder, required=True, help="folder of the features, in the data root; its name is the new protocol's")
    p.add_argument("--novel-seen", choices=get_args(Seen), required=True, help="whether pre-training has seen the novel classes")
    p.add_argument("--backbone", help="the network: one of ours, torchvision:NAME, timm:NAME, module:NAME (default: the protocol's)")
    p.add_argument("--weights", help="with --backbone: its file in DATA_ROOT/weights, .safetensors or .pth of tensors alone")
    for name in ("--mean", "--std"):
        p.add_argument(name, type=float, nargs="+", metavar="X", help="with --backbone: of the images that its weights were trained on")
    p.add_argument("--pretrained", help="with --backbone: the images that the weights were trained on, such as imagenet")
    p.add_argument("--licence", default="unknown", help="of the weights (default: unknown)")
    p.add_argument("--size", type=a_number, help="side of the images that the network sees (default: the protocol's)")
    p.add_argument("--texts", type=Path, nargs=2, metavar=("VECTORS", "FACTS"), help="text vectors, and how they were made (docs/DATA.md)")
    p.add_argument("--l2", action="store_true", help="divide each feature by its length")
    p.add_argument("--data-root", type=a_folder, default=os.environ.get("FSCIL_DATA") or "data", help="default: $FSCIL_DATA, or data")
    p.add_argument("--methods-dir", type=a_folder, help="folder of module:NAME")
    p.add_argument("--threads", type=a_number, default=1)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    settle()
    options = parser().parse_args(arguments)
    options.out, options.data_root = options.out.resolve(), options.data_root.resolve()
    from benchmarks.system.device import make_deterministic
    from benchmarks.tools.feature_files import write_features

    try:
        make_deterministic(threads_of(options))
        take_own_folder(options.methods_dir)
        for path in write_features(options):
            print(path)
        if not options.out.is_relative_to(options.data_root):
            note = f"a run looks for {options.out.name} in its data root: move the folder there, or give --data-root {options.out.parent}"
            print(note, file=sys.stderr)
    except (DataError, StorageError, UsageError, InputError) as error:
        print(f"extract: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
