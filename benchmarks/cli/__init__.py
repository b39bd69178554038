"""The command line: options, what each mode does, what it prints."""
