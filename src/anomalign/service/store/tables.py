"""The tables after the newest migration; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

from anomalign.service.store.columns import Id, Json, Moment, Words

VERSION_TABLE = "anomalign_schema"  # another program in the same database may use Alembic's own name

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

inspections = Table(
    "inspections",
    metadata,
    Column("id", Id, primary_key=True),
    Column("time", Moment, nullable=False),
    Column("bank", Words, nullable=False),
    Column("bank_version", BigInteger, nullable=False),
    Column("name", Words, nullable=False),
    Column("folded", Words, nullable=False),  # the name for searching: each database folds case differently
    Column("sha256", String(64), nullable=False),
    Column("source", String(10), nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("width", BigInteger, nullable=False),
    Column("verdict", String(10), nullable=False),
    Column("image_score", Double, nullable=False),
    Column("p_value", Double, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("stage", String(10), nullable=False),
    Column("course", Text, nullable=False),
    Column("suspected", Boolean, nullable=False),
    Column("borderline", Boolean, nullable=False, server_default=false()),
    Column("regions", Json, nullable=False, server_default="[]"),
    Column("region_count", BigInteger, nullable=False, server_default="0"),
    Column("retrieval_score", Double, nullable=False),
    Column("retrieval_p_value", Double, nullable=False),
    Column("neighbours", Json, nullable=False),
    Column("decision", BigInteger),  # the id of the decision that counts, so that lists can be filtered by it
    CheckConstraint("verdict IN ('anomalous', 'normal')", name="verdict"),
    Index("inspections_newest", "time", "id"),
    Index("inspections_newest_of_bank", "bank", "time", "id"),
    sqlite_autoincrement=True,  # an id is never used again: browsers cache images by it
)
worst_first = (
    inspections.c.verdict,
    inspections.c.p_value,
    inspections.c.image_score.desc(),
    inspections.c.id.desc(),
)
Index("inspections_worst", *worst_first)
Index("inspections_worst_of_bank", inspections.c.bank, *worst_first)

reasons = Table(  # a table of its own, so that the rows that lists read and decisions rewrite stay short
    "reasons",
    metadata,
    Column("record", Id, ForeignKey("inspections.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False),  # JSON
    Column("details", LargeBinary, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("record", BigInteger, ForeignKey("inspections.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(20), nullable=False),
    Column("note", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("time", Moment, nullable=False),
    Column("undone_by", Words),
    Column("undone_at", Moment),
    CheckConstraint("kind IN ('defect', 'false_alarm', 'unsure')", name="kind"),
    sqlite_autoincrement=True,
)

edits = Table(  # they outlive the records that they refer to
    "edits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("bank", Words, nullable=False, index=True),
    Column("version", BigInteger, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("record", BigInteger),
    Column("images", Json, nullable=False),
    Column("note", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("time", Moment, nullable=False),
    Column("before", Json, nullable=False),
    Column("after", Json, nullable=False),
    Column("undone_by", Words),
    Column("undone_at", Moment),
    Column("undone_version", BigInteger),
    CheckConstraint("kind IN ('add', 'remove', 'rate')", name="kind"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("time", Moment, nullable=False),
    Column("who", Words, nullable=False),
    Column("action", Words, nullable=False, index=True),
    Column("bank", Words),
    Column("record", BigInteger),
    Column("details", Json, nullable=False),
    sqlite_autoincrement=True,
)

watched = Table(  # outlives the record: a file is not inspected again after its record is deleted
    "watched",
    metadata,
    Column("path_sha256", String(64), primary_key=True),  # a path can be too long for an index
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("mtime_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("path", Words, nullable=False),
    Column("record", BigInteger, ForeignKey("inspections.id", ondelete="SET NULL"), index=True),
)

rates = Table(
    "rates",
    metadata,
    Column("bank", Words, primary_key=True),
    Column("target_fpr", Double, nullable=False),
    Column("who", Words, nullable=False),
    Column("time", Moment, nullable=False),
)

receivers = Table(  # one row a receiver of verdicts and bank: how many messages there were, and how many arrived
    "receivers",
    metadata,
    Column("receiver", Words, primary_key=True),
    Column("bank", Words, primary_key=True),
    Column("queued", BigInteger, nullable=False),  # the sequence number of the newest message
    Column("delivered", BigInteger, nullable=False),
    Column("delivered_at", Moment),
)

outbox = Table(  # messages that no receiver has confirmed; they outlive the records, and are whole without them
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("message_id", String(36), nullable=False),
    Column("receiver", Words, nullable=False),
    Column("bank", Words, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("record", BigInteger, nullable=False),
    Column("time", Moment, nullable=False),
    Column("content", Json, nullable=False),
    Index("outbox_oldest", "receiver", "id"),
    sqlite_autoincrement=True,
)
