"""The tables of the database.

Knows nothing of the values' meaning; `fabric.store.rows` turns them into records and back.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables; the migrations bring a database to exactly this."""


_WIDE = BigInteger().with_variant(Integer, "sqlite")


def _owner() -> Column[int]:
    return Column("workload_id", Integer, ForeignKey("workloads.id", ondelete="CASCADE"), nullable=False)


WORKLOADS = Table(
    "workloads",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("project", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("idempotency_key", String),
    Column("spec", Text, nullable=False),
    Column("submitted", Float, nullable=False),
    Column("submitted_by", String, nullable=False, server_default=text("''")),
    # Written by people through the interfaces; the loop reads them and never writes them.
    Column("stop_requested", Boolean, nullable=False),
    Column("stop_request_reason", Text, nullable=False),
    Column("wants", Integer),
    # Written by the loop alone.
    Column("state", String, nullable=False),
    Column("granted", Float),
    Column("cluster_ready", Float),
    Column("running", Float),
    Column("ended", Float),
    Column("attempt", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("preemptions", Integer, nullable=False, server_default="0"),
    Column("ran_s", Float, nullable=False, server_default="0"),
    Column("grant", Text),
    Column("target", Text),
    Column("leave_by", Float),
    Column("resized", Float),
    Column("message", Text, nullable=False),
    Column("waits_for", Text, nullable=False),
    Column("expected_start", Float),
    Column("promised_start", Float),
    Column("passed", Integer, nullable=False, server_default="0"),
    Column("promised", Boolean, nullable=False, server_default="0"),
    Column("set_aside", Text),
    Column("condition", String, nullable=False),
    Column("exit_code", Integer),
    Column("stop_reason", Text, nullable=False),
    UniqueConstraint("project", "idempotency_key"),
    Index(None, "state"),
    Index(None, "submitted"),
    sqlite_autoincrement=True,
)
"""One row for each workload; a number is never used again, so that rows of a deleted one can be told apart."""

EVENTS = Table(
    "events",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner(),
    Column("at", Float, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Index(None, "workload_id"),
)
"""History of each workload, in the order of writing."""

PROGRESS = Table(
    "progress",
    METADATA,
    Column("workload_id", Integer, ForeignKey("workloads.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("stage", Text, nullable=False),
    Column("done", Float, nullable=False),
    Column("total", Float, nullable=False),
    Column("unit", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("checkpoint_uri", Text, nullable=False),
    Column("checkpoint_step", _WIDE),
    Column("checkpoint_bytes", _WIDE),
    Column("checkpoint_seconds", Float),
    Column("checkpoint_at", Float),
    Column("workers", Integer),
    # Since when, and from where on, it has made progress at its present size.
    Column("first_done", Float),
    Column("first_at", Float),
)
"""What a workload last told of itself, and in which attempt."""

STAGES = Table(
    "stages",
    METADATA,
    Column("workload_id", Integer, ForeignKey("workloads.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("at", Float, nullable=False),
)
"""When each stage of each attempt began."""

POINTS = Table(
    "points",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("workload_id", Integer, ForeignKey("workloads.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("done", Float, nullable=False),
    # Numbers by name, as JSON.
    Column("metrics", Text, nullable=False),
    Column("source", String, nullable=False, server_default=text("'told'")),
    Index(None, "workload_id", "attempt", "source", "at"),
)
"""What each attempt told of itself over time, and what was measured of it, thinned."""

USES = Table(
    "uses",
    METADATA,
    Column("workload_id", Integer, ForeignKey("workloads.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, nullable=False),
    # As JSON, like what was used since the newest point.
    Column("latest", Text, nullable=False),
    Column("since", Text, nullable=False),
    # When its curves begin, and when their newest point was added; None before that.
    Column("first_at", Float, nullable=False),
    Column("kept_at", Float),
)
"""What was last measured of a workload, and in which attempt."""

SECRETS = Table(
    "secrets",
    METADATA,
    Column("workload_id", Integer, ForeignKey("workloads.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Random values of each workload, made once."""

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("sha256", String, nullable=False, unique=True),
    Column("project", String, nullable=False),
    Column("role", String, nullable=False),
    Column("workload", String),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("user", String, nullable=False, server_default=text("''")),
    Column("scopes", Text, nullable=False, server_default=text("''")),
    Column("used", Float),
    # What was shown before the last rotation, and until when that is still taken.
    Column("previous_sha256", String),
    Column("previous_until", Float),
    Index(None, "workload"),
    Index(None, "previous_sha256"),
)
"""Who may ask, by the hash of what they show."""

USERS = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("full_name", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("disabled", Float),
)
"""People, by the name that their keys and tokens carry."""

PROJECTS = Table(
    "projects",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created", Float, nullable=False),
    Column("created_by", String, nullable=False),
    Column("closed", Float),
)
"""Projects that people made beside those of the site file."""

MEMBERSHIPS = Table(
    "memberships",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project", String, nullable=False),
    Column("role", String, nullable=False),
    UniqueConstraint("user_id", "project"),
    Index(None, "project"),
)
"""Who is what in which project; a project that is empty stands for the whole site."""

USAGE = Table(
    "usage",
    METADATA,
    Column("entry", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("seconds", Float, nullable=False),
)
"""Decayed use of each project of the site, and of those above it, at one instant."""

RUNS = Table(
    "runs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("owner", String, nullable=False),
    Column("ran_s", Float, nullable=False),
    Column("walltime_s", Float),
    Index(None, "owner"),
)
"""The latest runs of each owner that ended by themselves, in the order of ending."""

LEDGER = Table(
    "ledger",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    # 1 where a slice is granted, -1 where it is given back.
    Column("sign", Integer, nullable=False),
    Column("workload", String, nullable=False),
    Column("submitted", Float, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("project", String, nullable=False),
    Column("user", String, nullable=False),
    Column("model", String, nullable=False),
    Column("slice", String, nullable=False),
    Column("node", String, nullable=False),
    Column("tier", String, nullable=False),
    Column("milli_cpus", _WIDE, nullable=False),
    Column("milli_gpus", _WIDE, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Index(None, "at"),
    Index(None, "project", "at"),
    Index(None, "workload", "at"),
    sqlite_autoincrement=True,
)
"""Who held what since when and until when; rows are only ever added, and outlive the workloads they are about."""

DRAINS = Table(
    "drains",
    METADATA,
    Column("node", String, primary_key=True),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Float, nullable=False),
    # None where work that does not save runs to its end.
    Column("deadline", Float),
)
"""Nodes that people take out of service."""

NAMED_SECRETS = Table(
    "named_secrets",
    METADATA,
    Column("project", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Float, nullable=False),
    # Id of the key that opens the value; None where it is plain, as an earlier fabric kept it.
    Column("sealed_with", String),
)
"""What processes of a project's work may be told; unlike `SECRETS`, which the fabric makes itself for one workload."""

RELOADS = Table(
    "reloads",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("by", Text, nullable=False),
    # Lists of names, as JSON.
    Column("changed", Text, nullable=False),
    Column("waiting", Text, nullable=False),
    Column("refused", Text, nullable=False),
)
"""When the site file was read again, and what came of it; rows are only ever added."""

ALIAS_MOVES = Table(
    "alias_moves",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("project", String, nullable=False),
    Column("model", String, nullable=False),
    Column("alias", String, nullable=False),
    Column("version", Integer, nullable=False),
    # None where the alias was new.
    Column("before", Integer),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
)
"""Aliases of models that people moved by hand; rows are only ever added."""
SITE_EVENTS = Table(
    "site_events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    # Empty where it is the site's.
    Column("project", String, nullable=False),
    Column("about", String, nullable=False),
    Column("said", Text, nullable=False),
    Column("by", Text, nullable=False),
    Index(None, "about"),
    sqlite_autoincrement=True,
)
"""What happened that people want to know of; the oldest go."""

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("address", String, nullable=False),
    # Grows with each holder; what is written with an older one is refused.
    Column("token", BigInteger, nullable=False),
    # By the clock of the database, in seconds since the epoch.
    Column("expires", Float, nullable=False),
)
"""Who leads; one row, which is changed and never removed."""
