"""Secrets of projects say which key opens them.

Knows nothing of other schemas, and of no key: control seals what is plain once it has one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; those that are there are plain until the next start has sealed them."""
    op.add_column("named_secrets", sa.Column("sealed_with", sa.String(), nullable=True))
