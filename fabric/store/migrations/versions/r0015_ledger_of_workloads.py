"""What one workload used is found without reading what all others did.

Knows nothing of other schemas.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index(op.f("ix_ledger_workload_at"), "ledger", ["workload", "at"])
