"""Run steps on the connection that the caller hands over, inside its transaction.

Knows nothing of which steps there are.
"""

from alembic import context

from fabric.store.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
