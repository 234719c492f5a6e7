"""Pixels in: find files, decode, orient and frame them."""
