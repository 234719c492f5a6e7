"""An inspection says whether its verdict is close to the threshold; for older ones it is unknown, which reads as no."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("inspections", sa.Column("borderline", sa.Boolean(), nullable=False, server_default=sa.false()))
