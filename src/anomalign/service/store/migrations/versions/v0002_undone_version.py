"""An edit that was undone names the version of the bank that the undoing has made; of older ones it is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("edits", sa.Column("undone_version", sa.BigInteger()))
