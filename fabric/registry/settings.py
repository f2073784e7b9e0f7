"""What may be chosen about a registration; one file under `configs/registry/`.

Knows nothing of where outputs and the registry are.
"""

from pydantic import Field, field_validator

from fabric.config.settings import Settings
from fabric.core.errors import BadInput
from fabric.core.ids import check_name
from fabric.registry.reference import CHAMPION, check_alias
from fabric.registry.rule import AliasRule
from fabric.workloads.spec import WorkloadSpec


class RegisterSettings(Settings):
    """Which output becomes a version of which model, and when an alias moves to it."""

    workload: WorkloadSpec | None = None
    """What the fabric grants; unused under plain Ray."""

    output: str
    """Folder below the artifacts' root for the note of what was decided."""

    name: str
    """Registered model, such as `shakespeare`; what `serve` and clients ask for."""

    model: str
    """Output of the stage that made the model, below the artifacts' root."""

    weights: str = "model"
    """Folder inside that output which an engine reads; empty if it is the output itself."""

    evaluation: str | None = None
    """Output of the `evaluate` stage that judged it; None registers without an alias, unless nobody has it yet."""

    alias: str = CHAMPION
    """Alias that moves if the rule holds."""

    rule: AliasRule
    """What the new version must not be worse at."""

    verify: bool = Field(default=True)
    """Whether every file of the model is compared with its manifest first; about a second for 500 MB."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        try:
            return check_name(name, "model")
        except BadInput as error:
            raise ValueError(error.message) from None

    @field_validator("alias")
    @classmethod
    def _alias(cls, alias: str) -> str:
        try:
            return check_alias(alias)
        except BadInput as error:
            raise ValueError(error.message) from None
