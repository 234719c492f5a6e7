"""Who may do what: tokens and roles, sessions of browsers, and what every request must satisfy first."""
