"""The pages that people use: frames of HTML, filled by the scripts of `static/` from the REST interface."""
