"""Who competes: one file a method, found by being there. See docs/ADDING_A_METHOD.md."""
