"""Numerical work under everything else: threads, compiled loops, resampling, checksums."""
