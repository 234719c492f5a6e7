"""Which normal images to keep: suspects, and a smaller bank."""
