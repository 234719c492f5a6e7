"""The migrations of the schema, one file each; Alembic runs them."""
