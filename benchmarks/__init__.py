"""How FSCIL methods are measured."""

SUITE_VERSION = 1
"""Raise it when anything outside methods/ changes numbers: records and base models of another version are made again."""
