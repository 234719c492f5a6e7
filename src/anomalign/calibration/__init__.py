"""From the scores of normal images to p-values and thresholds."""
