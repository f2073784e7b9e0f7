"""Register the model that a stage made, and move an alias to it if the rule holds.

Knows nothing of how a model was made or is served.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from fabric.core.errors import BadInput, Corrupt, NotFound
from fabric.registry.evaluation import JUDGEMENTS, Evaluation
from fabric.registry.ports import ModelStore
from fabric.registry.reference import ModelReference
from fabric.registry.rule import Verdict, may_take_alias
from fabric.registry.settings import RegisterSettings
from fabric.registry.versions import Candidate, Lineage, ModelVersion, Parent
from fabric.store.errors import file_error
from fabric.store.files import make_folder, write_atomically
from fabric.store.outputs import MANIFEST, Output, keep, read_output, verify_output

VERSIONS = "models"
"""Folder below the artifacts' root with the files of registered versions, as NAME/DIGEST."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What was registered and decided."""

    version: ModelVersion
    before: ModelVersion | None
    """The version that had the alias."""
    verdict: Verdict
    """Whether it has moved, and why."""
    alias: str

    @property
    def summary(self) -> str:
        """Two lines for people."""
        name = f"{self.version.name}:{self.version.version}"
        had = f" from :{self.before.version}" if self.before else ""
        moved = f"moved{had} to :{self.version.version}" if self.verdict.moves else f"stays{had.replace('from', 'at')}"
        return f"registered {name} ({self.version.uri})\nalias {self.alias} {moved}: {self.verdict.reason}"


def register(settings: RegisterSettings, root: Path, models: ModelStore) -> Registration:
    """Register what `settings` names, decide about the alias, and write down both in the output folder.

    Args:
        settings: What to register and how to decide.
        root: The artifacts' root.
        models: The registry.

    Raises:
        NotFound: If a stage has not finished.
        Corrupt: If a file of the model is missing or not what was written.
        BadInput: If the evaluation is of another version.
        StorageFull: If the disk is full.
        Unavailable: If the registry, or the storage of a file, does not answer.
    """
    made = read_output(root, settings.model)
    evaluation = None if settings.evaluation is None else judgement(root, settings.evaluation, made)
    if settings.verify:
        verify_output(made)
    version = models.register(_candidate(settings, root, made, evaluation))
    before = _holder(models, settings)
    verdict = _verdict(settings, before, version)
    if verdict.moves:
        models.move_alias(settings.name, settings.alias, version.version)
    done = Registration(
        models.resolve(ModelReference(settings.name, None, version.version)), before, verdict, settings.alias
    )
    _note(settings, root, made, done)
    return done


def judgement(root: Path, name: str, made: Output) -> Evaluation:
    """How the output `made` was judged by the evaluation `name`.

    Raises:
        NotFound: If the evaluation has not finished, or did not judge it.
        BadInput: If it judged another version of it.
        Corrupt: If it is none.
        Unavailable: If it cannot be read at the moment.
    """
    found = read_output(root, name, "evaluate")
    versions = dict(found.parents)
    if made.name not in versions:
        judged = ", ".join(sorted(name for name in versions if _kind(root, name) != "dataset")) or "nothing"
        raise NotFound(f"evaluation {name} did not judge {made.name}, but {judged}. Evaluate it first.", output=name)
    if versions[made.name] != made.version:
        raise BadInput(
            f"evaluation {name} judged {made.name} at version {versions[made.name]}, which is now {made.version}. "
            "Run the evaluate stage again.",
            output=name,
        )
    return _read_judgement(found, made)


def _read_judgement(found: Output, made: Output) -> Evaluation:
    for file in ("", *sorted(found.files)):
        if file and not file.endswith(".json"):
            continue
        path = found.folder / (file or MANIFEST)
        try:
            judgements = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise Corrupt(f"{path}: cannot be read: {error}. Run the evaluate stage again.", path=str(path)) from None
        except OSError as error:
            refused = file_error(error, path)
            raise refused from None
        if isinstance(judgements, dict) and made.name in judgements.get(JUDGEMENTS, {}):
            return Evaluation.from_dict(judgements[JUDGEMENTS][made.name])
    raise NotFound(f"no file of {found.folder} has `{JUDGEMENTS}` with {made.name}. Evaluate it first.")


def _candidate(settings: RegisterSettings, root: Path, made: Output, evaluation: Evaluation | None) -> Candidate:
    kept = keep(made.folder / settings.weights, root / VERSIONS / settings.name / made.version)
    lineage = Lineage(
        revision=str(made.manifest.get("revision") or ""),
        config=json.dumps(made.manifest.get("config", {}), sort_keys=True),
        parents=tuple(Parent(name, version, _kind(root, name)) for name, version in made.parents),
    )
    metrics = made.metrics | (dict(evaluation.metrics) if evaluation else {})
    return Candidate(settings.name, made.version, kept.as_uri(), lineage, metrics, evaluation)


def _kind(root: Path, name: str) -> str:
    """What a parent is; empty for one that is no output here, such as a downloaded model."""
    try:
        return read_output(root, name).kind
    except (NotFound, BadInput, Corrupt):
        return ""


def _holder(models: ModelStore, settings: RegisterSettings) -> ModelVersion | None:
    try:
        return models.resolve(ModelReference(settings.name, settings.alias))
    except NotFound:
        return None


def _verdict(settings: RegisterSettings, before: ModelVersion | None, version: ModelVersion) -> Verdict:
    if before is None:
        return Verdict(True, "nobody has it yet")
    if before.version == version.version:
        return Verdict(False, "it has it already")
    return may_take_alias(settings.rule, before.evaluation, version.evaluation)


def _note(settings: RegisterSettings, root: Path, made: Output, done: Registration) -> None:
    note = {
        "kind": "registration",
        "version": done.version.digest,
        "config": settings.model_dump(mode="json"),
        "parents": [{"name": made.name, "version": made.version}],
        "metrics": dict(done.version.metrics),
        "model": f"{done.version.name}:{done.version.version}",
        "uri": done.version.uri,
        "lineage": done.version.lineage.as_texts(),
        "alias": done.alias,
        "moved": done.verdict.moves,
        "reason": done.verdict.reason,
        "before": done.before and f"{done.before.name}:{done.before.version}",
        "files": {},
    }
    folder = make_folder(root / settings.output)
    write_atomically(folder / MANIFEST, (json.dumps(note, indent=1) + "\n").encode())
