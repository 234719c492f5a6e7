"""Security: tokens and roles, browser sessions, and checks on every request."""
