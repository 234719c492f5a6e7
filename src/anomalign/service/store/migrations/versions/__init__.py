"""The migrations; each names the one before it as `down_revision`."""
