"""The web pages: HTML frames, which the scripts in `static/` fill from the REST interface."""
