"""Base kinds, one file each. A base kind defines what the base session trains (methods/contract/base_kind.py)."""
