"""The REST interface: a router a subject; `answers` and `shapes` say what is sent."""
