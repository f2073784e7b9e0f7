"""What projects have used of late and how long runs took, so that a restart does not forget it.

Knows nothing of other schemas.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables; of what was before nothing is known."""
    op.create_table(
        "usage",
        sa.Column("entry", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_usage")),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("ran_s", sa.Float(), nullable=False),
        sa.Column("walltime_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_owner"), "runs", ["owner"], unique=False)
