"""From normal images to what is usual at each place, p-values and thresholds."""
