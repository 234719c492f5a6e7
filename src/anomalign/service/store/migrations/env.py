"""Alembic runs this on the connection and in the transaction of `Database.migrate`."""

from alembic import context

from anomalign.service.store.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
