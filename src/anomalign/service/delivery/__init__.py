"""Results out: each verdict goes to the receivers of the configuration, at least once and in order."""
