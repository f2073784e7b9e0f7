"""People, the projects that they make and belong to, whose a key is, and who submitted what.

Knows nothing of other schemas.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables and columns; keys that are there already belong to nobody, and of old work nobody is known."""
    op.add_column("workloads", sa.Column("submitted_by", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("api_keys", sa.Column("user", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("api_keys", sa.Column("scopes", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("api_keys", sa.Column("used", sa.Float(), nullable=True))
    op.add_column("api_keys", sa.Column("previous_sha256", sa.String(), nullable=True))
    op.add_column("api_keys", sa.Column("previous_until", sa.Float(), nullable=True))
    op.create_index(op.f("ix_api_keys_previous_sha256"), "api_keys", ["previous_sha256"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("disabled", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("closed", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.create_table(
        "memberships",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
        sa.UniqueConstraint("user_id", "project", name=op.f("uq_memberships_user_id_project")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_memberships_user_id"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_memberships_project"), "memberships", ["project"], unique=False)
