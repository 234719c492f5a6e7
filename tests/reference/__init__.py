"""Slow, obvious NumPy implementations: the oracles that the product is tested against."""
