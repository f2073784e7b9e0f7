"""Steps and bytes of checkpoints, and amounts of the ledger, as whole numbers of 64 bits.

Knows nothing of other schemas.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


_WIDER = (
    ("progress", "checkpoint_step"),
    ("progress", "checkpoint_bytes"),
    ("ledger", "milli_cpus"),
    ("ledger", "milli_gpus"),
)


def upgrade() -> None:
    """Widen columns of PostgreSQL; whole numbers of SQLite are as wide already."""
    if op.get_bind().dialect.name == "postgresql":
        for table, name in _WIDER:
            op.alter_column(table, name, type_=sa.BigInteger(), existing_type=sa.Integer())
