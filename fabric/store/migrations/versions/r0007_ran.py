"""How long earlier attempts of a workload ran, so that work of unknown length is ordered by it.

Knows nothing of other schemas.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; earlier attempts of work that is there already count nothing."""
    op.add_column("workloads", sa.Column("ran_s", sa.Float(), nullable=False, server_default="0"))
