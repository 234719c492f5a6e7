"""Rival methods, each written from its paper, on the feature pyramids that our own method gets."""
