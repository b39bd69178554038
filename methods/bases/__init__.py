"""Base kinds: one file each, found by being there. A kind says what the base session trains (methods/contract/base_kind.py)."""
