"""The compared methods: one file per method, found by its presence in this folder. See docs/ADDING_A_METHOD.md."""
