"""The two stages together: settings, decision, inspection, detector."""
