"""How FSCIL methods are measured."""
