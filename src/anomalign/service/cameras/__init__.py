"""Cameras of the service: a thread reads each one, triggers inspect its newest frame."""
