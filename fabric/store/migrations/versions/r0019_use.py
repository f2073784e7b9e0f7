"""What workloads use of their grants: what was measured last, and its points beside those that workloads told.

Knows nothing of other schemas.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, and say of each point where it comes from."""
    op.create_table(
        "uses",
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("latest", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("kept_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f("fk_uses_workload_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workload_id", name=op.f("pk_uses")),
    )
    op.add_column("points", sa.Column("source", sa.String(), nullable=False, server_default=sa.text("'told'")))
    op.drop_index(op.f("ix_points_workload_id_attempt_at"), "points")
    op.create_index(
        op.f("ix_points_workload_id_attempt_source_at"), "points", ["workload_id", "attempt", "source", "at"]
    )  # fmt: skip
