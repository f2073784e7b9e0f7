"""A stock Ray job submission becomes a spec: flags size the first slice, metadata asks for more.

Knows nothing of the service, of stores or of nodes beyond the names of tiers.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fabric.api.jobs import TIER_LABEL, JobSubmission
from fabric.config.load import decode
from fabric.config.site import Site
from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes
from fabric.core.resources import Resources
from fabric.workloads.spec import Priority, WorkloadSpec

PREFIX = "fabric."
"""How the metadata keys begin that are requests to the scheduler."""

WORKLOAD = "fabric.workload"
"""Metadata key that holds a whole spec as JSON."""

NAME_ENTROPY = 16
"""Bytes of entropy of a made-up name."""

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz123456789"
"""Without those that people confuse, as in Ray's own names."""

_FROM_SUBMISSION = ("entrypoint", "runtime_env", "metadata", "entrypoint_cpus", "entrypoint_gpus", "entrypoint_memory")
"""Fields of a spec that the submission itself says."""

_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")


def raysubmit_name(entropy: bytes) -> str:
    """A name such as Ray makes up: `raysubmit_` and 16 letters and digits."""
    return "raysubmit_" + "".join(_LETTERS[byte % len(_LETTERS)] for byte in entropy[:NAME_ENTROPY])


def spec_from_ray(submission: JobSubmission, site: Site, name: str) -> WorkloadSpec:
    """The workload that a submission asks for.

    Without `fabric.workload` it is one group `workers`. The entrypoint runs in a worker that has at least what
    `--entrypoint-num-cpus`, `-gpus` and `-memory` ask for; it holds the accelerators itself and leaves CPUs and memory
    to its tasks. `fabric.cpus`, `fabric.gpus` and `fabric.memory` make the workers larger. Who says nothing gets the
    site's defaults, and an entrypoint that holds nothing.

    Args:
        submission: As it arrived.
        site: Defaults and tiers.
        name: Where neither the submission nor its spec has one.

    Raises:
        BadInput: If it contradicts itself, asks for something unknown, or says a number that is none.
    """
    asked = _asked(submission)
    tier = _selected_tier(submission, site)
    wishes = {key: value for key, value in (submission.metadata or {}).items() if key.startswith(PREFIX)}
    _require_known(wishes)
    if WORKLOAD in wishes:
        document = _whole_spec(wishes, submission)
        document.setdefault("name", name)
    else:
        document = {"name": name, **_single_wishes(wishes)}
    given = {key: document.pop(key) for key in _GROUP_FIELDS if key in document} if WORKLOAD not in wishes else {}
    document.setdefault("groups", [_group(given, asked, tier, site)])
    document.setdefault("walltime_s", site.defaults.walltime_s)
    document.setdefault("max_failures", site.defaults.max_failures)
    document |= {
        "entrypoint": submission.entrypoint,
        "runtime_env": submission.runtime_env or {},
        "metadata": submission.metadata or {},
        "entrypoint_cpus": asked.cpus,
        "entrypoint_gpus": asked.gpus,
        "entrypoint_memory": asked.memory,
    }
    spec = decode(WorkloadSpec, document, WORKLOAD if WORKLOAD in wishes else "submission")
    _require_selected_tier(spec, tier)
    return spec


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the entrypoint itself holds."""

    cpus: float
    gpus: float
    memory: int


def _asked(submission: JobSubmission) -> _Asked:
    """The entrypoint's own resources, whether by their flags or by --entrypoint-resources.

    Raises:
        BadInput: If one is unknown, given twice or no amount.
    """
    flags: dict[str, float | None] = {
        "CPU": submission.entrypoint_num_cpus,
        "GPU": submission.entrypoint_num_gpus,
        "memory": submission.entrypoint_memory,
    }
    for resource, amount in (submission.entrypoint_resources or {}).items():
        if resource not in flags:
            raise BadInput(
                f"--entrypoint-resources: unknown resource {resource!r}. Known: {', '.join(flags)}. "
                f'Choose a tier with --entrypoint-label-selector \'{{"{TIER_LABEL}": "NAME"}}\'.',
                resource=resource,
            )
        if flags[resource]:
            raise BadInput(f"--entrypoint-resources: {resource} is also given by its own flag; give it once")
        flags[resource] = amount
    amounts = {key: amount or 0.0 for key, amount in flags.items()}
    if min(amounts.values()) < 0 or amounts["memory"] != int(amounts["memory"]):
        raise BadInput("--entrypoint-resources: amounts must not be negative, and memory must be whole bytes")
    # Read as quantities for their rule of thousandths.
    Resources.of(amounts["CPU"], amounts["GPU"], int(amounts["memory"]))
    return _Asked(amounts["CPU"], amounts["GPU"], int(amounts["memory"]))


def _selected_tier(submission: JobSubmission, site: Site) -> str | None:
    """The tier that --entrypoint-label-selector names.

    Raises:
        BadInput: If it names anything else.
    """
    selector = submission.entrypoint_label_selector or {}
    for label in selector:
        if label != TIER_LABEL:
            raise BadInput(f"--entrypoint-label-selector: unknown label {label!r}. Known: {TIER_LABEL}.", label=label)
    return _known_tier(selector[TIER_LABEL], "--entrypoint-label-selector", site) if selector else None


def _known_tier(tier: str, where: str, site: Site) -> str:
    """Return `tier` if the site has it.

    Raises:
        BadInput: Naming those it has.
    """
    tiers = [known.name for known in site.tiers]
    if tier not in tiers:
        raise BadInput(
            f"{where}: unknown tier {tier!r}.{_hint(tier, tiers)} The site has {', '.join(tiers)}.", tier=tier
        )
    return tier


def _require_known(wishes: Iterable[str]) -> None:
    """Check the names of metadata keys.

    Raises:
        BadInput: Naming those that are allowed.
    """
    allowed = (WORKLOAD, *_SINGLE)
    for key in wishes:
        if key not in allowed:
            raise BadInput(
                f"metadata: unknown key {key!r}.{_hint(key, allowed)} Allowed: {', '.join(allowed)}; "
                f"keys that do not begin with {PREFIX!r} are yours.",
                key=key,
            )


def _hint(word: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(allowed), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _whole_spec(wishes: Mapping[str, str], submission: JobSubmission) -> dict[str, Any]:
    """The document under `fabric.workload`, checked against what the submission says itself.

    Raises:
        BadInput: If it is no JSON object, or says what is said elsewhere.
    """
    others = sorted(set(wishes) - {WORKLOAD})
    if others:
        raise BadInput(f"metadata: {WORKLOAD} says everything, so leave out {', '.join(others)}")
    try:
        document = json.loads(wishes[WORKLOAD])
    except (ValueError, RecursionError) as error:
        raise BadInput(f"metadata: {WORKLOAD} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadInput(f'metadata: {WORKLOAD} must be a JSON object, such as {{"groups": [{{"count": 2}}]}}')
    said = [key for key in _FROM_SUBMISSION if key in document]
    if said:
        raise BadInput(f"metadata: {WORKLOAD}: leave out {', '.join(said)}: the submission itself says it")
    if document.get("kind", "job") != "job":
        raise BadInput(f"metadata: {WORKLOAD}: `ray job submit` submits jobs; deploy services with `fabric deploy`")
    named = submission.submission_id or submission.job_id
    if named and document.get("name", named) != named:
        raise BadInput(f"metadata: {WORKLOAD}: name {document['name']!r} is not the submission id {named!r}")
    return document


def _single_wishes(wishes: Mapping[str, str]) -> dict[str, Any]:
    """Fields of a spec, and of its only group, from single metadata keys.

    Raises:
        BadInput: Naming the key whose value cannot be read.
    """
    fields = {}
    for key, text in wishes.items():
        field, read = _SINGLE[key]
        try:
            fields[field] = read(text.strip())
        except (ValueError, BadInput) as error:
            raise BadInput(f"metadata: {key}: {error}", key=key) from None
    return fields


def _whole(text: str) -> int:
    """Read a value.

    Raises:
        ValueError: If it is no whole number.
    """
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _amount(text: str) -> float:
    """Read a value.

    Raises:
        ValueError: If it is no amount in thousandths.
    """
    if not re.fullmatch(r"\d{1,9}(\.\d{1,3})?", text):
        raise ValueError(f"{text!r} is no amount. Write it like 2 or 0.5, in steps of 0.001.")
    return float(text)


def _secrets(text: str) -> dict[str, str]:
    """Read a value.

    Raises:
        ValueError: If it names no secrets by variables.
    """
    pairs = [part.strip().partition("=") for part in text.split(",")]
    named = {variable: name for variable, between, name in pairs if between and variable and name}
    if len(named) != len(pairs):
        raise ValueError(f"{text!r} is no list of VARIABLE=SECRET, parted by commas, each variable once")
    return named


def _size(text: str) -> str:
    Bytes.of(text)
    return text


def _priority(text: str) -> str:
    """Read a value.

    Raises:
        ValueError: If it is no priority class.
    """
    if text not in list(Priority):
        raise ValueError(f"{text!r} is no priority class. Classes: {', '.join(Priority)}.{_hint(text, Priority)}")
    return text


def _seconds(text: str) -> float:
    """Read 90, 90s, 10m, 2h, 1h30m or 2d.

    Raises:
        ValueError: If it is none of these, or zero.
    """
    match = _DURATION.fullmatch(text)
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        seconds = float(text)
    elif match and any(match.groups()):
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    else:
        raise ValueError(f"{text!r} is no duration. Write seconds, or like 10m, 2h, 1h30m, 2d.")
    if seconds <= 0:
        raise ValueError("a walltime must be above zero")
    return seconds


_SINGLE: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "fabric.gpus": ("gpus", _amount),
    "fabric.cpus": ("cpus", _amount),
    "fabric.memory": ("memory", _size),
    "fabric.workers": ("count", _whole),
    "fabric.min": ("min", _whole),
    "fabric.max": ("max", _whole),
    "fabric.step": ("step", _whole),
    "fabric.tier": ("tier", str),
    "fabric.priority": ("priority", _priority),
    "fabric.walltime": ("walltime_s", _seconds),
    "fabric.max_failures": ("max_failures", _whole),
    "fabric.secrets": ("secrets", _secrets),
}
"""Metadata key, the field it means and how it is read."""

_GROUP_FIELDS = ("gpus", "cpus", "memory", "count", "min", "max", "step", "tier")


def _group(given: Mapping[str, Any], asked: _Asked, tier: str | None, site: Site) -> dict[str, Any]:
    """The only group of a submission without a spec.

    Raises:
        BadInput: If tiers contradict each other.
    """
    wanted = given.get("tier")
    if wanted is not None:
        _known_tier(wanted, "metadata: fabric.tier", site)
    if wanted is not None and tier is not None and wanted != tier:
        raise BadInput(f"fabric.tier says {wanted!r} and --entrypoint-label-selector {tier!r}; give one of them")
    return {
        "name": "workers",
        "count": given.get("count", given.get("min", 1)),
        **{key: given[key] for key in ("min", "max", "step") if key in given},
        "tier": wanted or tier,
        "cpus": given.get("cpus", asked.cpus or site.defaults.cpus),
        "gpus": given.get("gpus", asked.gpus),
        "memory": given.get("memory", f"{asked.memory} B" if asked.memory else site.defaults.memory),
    }


def _require_selected_tier(spec: WorkloadSpec, tier: str | None) -> None:
    """Check that the entrypoint's group, the first one, is on the tier that a label selector wants.

    Raises:
        BadInput: If it is not.
    """
    first = spec.groups[0]
    if tier is not None and first.tier != tier:
        raise BadInput(
            f"--entrypoint-label-selector wants tier {tier}, but the entrypoint's group {first.name} is on "
            f"{first.tier or 'any tier'}. Name the same tier in both.",
            group=first.name,
        )
