"""Quantization of a backbone to int8, and the comparison with the original."""
