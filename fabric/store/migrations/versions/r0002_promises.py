"""What a waiting workload was promised, and how often it was passed.

Knows nothing of other schemas.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns; work that waits already was promised nothing and passed by nobody."""
    op.add_column("workloads", sa.Column("promised_start", sa.Float(), nullable=True))
    op.add_column("workloads", sa.Column("passed", sa.Integer(), nullable=False, server_default="0"))
