"""An undone edit names the version of the bank after the undo; for older edits it is unknown."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("edits", sa.Column("undone_version", sa.BigInteger()))
