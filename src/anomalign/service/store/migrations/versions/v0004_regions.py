"""An inspection says where the image has heat; for older ones that is unknown, which reads as no regions."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("inspections", sa.Column("regions", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("inspections", sa.Column("region_count", sa.BigInteger(), nullable=False, server_default="0"))
