"""Smaller networks: int8, and what it changes."""
