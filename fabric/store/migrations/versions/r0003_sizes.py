"""What size a workload is to have, what it was asked to give back, and what it tells of its size and its checkpoints.

Knows nothing of other schemas.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns; what runs already was never resized or preempted, and has told no size."""
    op.add_column("workloads", sa.Column("wants", sa.Integer(), nullable=True))
    op.add_column("workloads", sa.Column("preemptions", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("workloads", sa.Column("target", sa.Text(), nullable=True))
    op.add_column("workloads", sa.Column("leave_by", sa.Float(), nullable=True))
    op.add_column("workloads", sa.Column("resized", sa.Float(), nullable=True))
    op.add_column("progress", sa.Column("workers", sa.Integer(), nullable=True))
    op.add_column("progress", sa.Column("checkpoint_at", sa.Float(), nullable=True))
    op.add_column("progress", sa.Column("first_done", sa.Float(), nullable=True))
    op.add_column("progress", sa.Column("first_at", sa.Float(), nullable=True))
