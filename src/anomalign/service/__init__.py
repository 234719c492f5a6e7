"""The operator's station: it inspects images and keeps records, with pages for people and REST for machines."""
