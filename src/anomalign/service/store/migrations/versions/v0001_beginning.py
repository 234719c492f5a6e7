"""The first schema."""

import sqlalchemy as sa
from alembic import op

from anomalign.service.store.columns import Id, Json, Moment, Words

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "edits",
        sa.Column("id", Id, nullable=False),
        sa.Column("bank", Words(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("record", sa.BigInteger()),
        sa.Column("images", Json(), nullable=False),
        sa.Column("note", Words(), nullable=False),
        sa.Column("who", Words(), nullable=False),
        sa.Column("time", Moment(), nullable=False),
        sa.Column("before", Json(), nullable=False),
        sa.Column("after", Json(), nullable=False),
        sa.Column("undone_by", Words()),
        sa.Column("undone_at", Moment()),
        sa.CheckConstraint("kind IN ('add', 'remove', 'rate')", name=op.f("ck_edits_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edits")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_edits_bank"), "edits", ["bank"])
    op.create_table(
        "events",
        sa.Column("id", Id, nullable=False),
        sa.Column("time", Moment(), nullable=False),
        sa.Column("who", Words(), nullable=False),
        sa.Column("action", Words(), nullable=False),
        sa.Column("bank", Words()),
        sa.Column("record", sa.BigInteger()),
        sa.Column("details", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_action"), "events", ["action"])
    op.create_table(
        "inspections",
        sa.Column("id", Id, nullable=False),
        sa.Column("time", Moment(), nullable=False),
        sa.Column("bank", Words(), nullable=False),
        sa.Column("bank_version", sa.BigInteger(), nullable=False),
        sa.Column("name", Words(), nullable=False),
        sa.Column("folded", Words(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("image_score", sa.Double(), nullable=False),
        sa.Column("p_value", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("stage", sa.String(length=10), nullable=False),
        sa.Column("course", sa.Text(), nullable=False),
        sa.Column("suspected", sa.Boolean(), nullable=False),
        sa.Column("retrieval_score", sa.Double(), nullable=False),
        sa.Column("retrieval_p_value", sa.Double(), nullable=False),
        sa.Column("neighbours", Json(), nullable=False),
        sa.Column("decision", sa.BigInteger()),
        sa.CheckConstraint("verdict IN ('anomalous', 'normal')", name=op.f("ck_inspections_verdict")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspections")),
        sqlite_autoincrement=True,
    )
    op.create_index("inspections_newest", "inspections", ["time", "id"])
    op.create_index("inspections_newest_of_bank", "inspections", ["bank", "time", "id"])
    op.create_index(
        "inspections_worst",
        "inspections",
        ["verdict", "p_value", sa.literal_column("image_score DESC"), sa.literal_column("id DESC")],
    )
    op.create_index(
        "inspections_worst_of_bank",
        "inspections",
        ["bank", "verdict", "p_value", sa.literal_column("image_score DESC"), sa.literal_column("id DESC")],
    )
    op.create_table(
        "rates",
        sa.Column("bank", Words(), nullable=False),
        sa.Column("target_fpr", sa.Double(), nullable=False),
        sa.Column("who", Words(), nullable=False),
        sa.Column("time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("bank", name=op.f("pk_rates")),
    )
    op.create_table(
        "decisions",
        sa.Column("id", Id, nullable=False),
        sa.Column("record", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("note", Words(), nullable=False),
        sa.Column("who", Words(), nullable=False),
        sa.Column("time", Moment(), nullable=False),
        sa.Column("undone_by", Words()),
        sa.Column("undone_at", Moment()),
        sa.CheckConstraint("kind IN ('defect', 'false_alarm', 'unsure')", name=op.f("ck_decisions_kind")),
        sa.ForeignKeyConstraint(["record"], ["inspections.id"], name=op.f("fk_decisions_record"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_decisions_record"), "decisions", ["record"])
    op.create_table(
        "reasons",
        sa.Column("record", Id, autoincrement=False, nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["record"], ["inspections.id"], name=op.f("fk_reasons_record"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_reasons")),
    )
    op.create_table(
        "watched",
        sa.Column("path_sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("path", Words(), nullable=False),
        sa.Column("record", sa.BigInteger()),
        sa.ForeignKeyConstraint(["record"], ["inspections.id"], name=op.f("fk_watched_record"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("path_sha256", "size", "mtime_ns", name=op.f("pk_watched")),
    )
    op.create_index(op.f("ix_watched_record"), "watched", ["record"])
