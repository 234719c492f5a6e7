"""Data that is kept besides the record of an inspection: match data, image files, and how to draw both."""
