"""Messages to receivers of verdicts, each written in the transaction of its record."""

import sqlalchemy as sa
from alembic import op

from anomalign.service.store.columns import Id, Json, Moment, Words

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "receivers",
        sa.Column("receiver", Words(), nullable=False),
        sa.Column("bank", Words(), nullable=False),
        sa.Column("queued", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", Moment()),
        sa.PrimaryKeyConstraint("receiver", "bank", name=op.f("pk_receivers")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", Id, nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("receiver", Words(), nullable=False),
        sa.Column("bank", Words(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.BigInteger(), nullable=False),
        sa.Column("time", Moment(), nullable=False),
        sa.Column("content", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_oldest", "outbox", ["receiver", "id"])
