"""What is set aside for a waiting workload, so that it is kept over a restart.

Knows nothing of other schemas.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns; nothing was set aside for work that waits already."""
    op.add_column("workloads", sa.Column("promised", sa.Boolean(), nullable=False, server_default="0"))
    op.add_column("workloads", sa.Column("set_aside", sa.Text(), nullable=True))
