"""Finds records that are copies of another seed's, from the records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import comb, factorial

from benchmarks.records.schema import Record
from protocols.schema import DRAWN_ORDERS

CHANCE = 1e-4
"""Highest probability that equal class orders may have by chance."""


def copied_seeds(records: Iterable[Record]) -> list[tuple[Record, str]]:
    """Records of a variant with the same class order under several seeds, each with a reason, where that cannot be chance.

    All but one must be copies, and nothing here tells which. The rule applies to splits that draw the order from the seed. There, two
    seeds agree on the order of k classes with a probability of at most 1 / k!, so any two of n seeds with one of at most
    n (n - 1) / 2 / k!; the rule applies where this is at most CHANCE. Ten seeds need ten classes (1.2e-5), three seeds need eight.

    Equal images and equal predictions prove nothing. A split may leave no choice of images (label order, and as many training images a
    class as shots or all of them), and a method may ignore the seed or answer the newest class only. Where the images are at hand,
    `--verify` compares order and images with the split of each record's own seed, which also finds copies on other splits.
    """
    of_variants = defaultdict(list)
    for record in records:
        if record.identity.split in DRAWN_ORDERS:
            of_variants[record.identity.group, record.identity.variant].append(record)
    found = []
    for of_variant in of_variants.values():
        pairs = comb(len({record.identity.seed for record in of_variant}), 2)
        same_order = defaultdict(list)
        for record in of_variant:
            same_order[record.order].append(record)
        for order, several in same_order.items():
            seeds = sorted({record.identity.seed for record in several})
            if len(seeds) > 1 and pairs / CHANCE <= factorial(len(order)):
                listed = ", ".join(map(str, seeds))
                why = f"seeds {listed} have the same class order, which the split draws from the seed, so they are copies"
                found += [(record, f"{why}; remove and run again") for record in several]
    return found
