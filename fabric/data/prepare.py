"""The prepare stage from source to manifest, in the order it happens.

Knows nothing of Ray: it hands pieces of work to an `Engine` and puts their results together.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from fabric.core.errors import Corrupt, NotFound
from fabric.data.baseline import xz_bits_per_byte
from fabric.data.clean import CLEANING
from fabric.data.corpus import TextFile, check_names, corpus_parent, find_texts
from fabric.data.files import raise_storage_error, write_atomically
from fabric.data.fingerprint import Fingerprint
from fabric.data.manifest import (
    MANIFEST,
    DatasetManifest,
    Document,
    FileRecord,
    Parent,
    Split,
    SplitRecord,
    content_version,
    file_sha256,
    read_manifest,
    recipe_version,
    verify_file,
)  # fmt: skip
from fabric.data.pieces import (
    FingerprintText,
    ShardDone,
    ShardPlan,
    WriteShard,
    compressed_size,
    learn_vocabulary,
    plan_shards,
)  # fmt: skip
from fabric.data.report import Reporter, Say
from fabric.data.settings import PrepareSettings
from fabric.data.split import Fate, SplitPlan, plan_split

LAYOUT = 1
"""Number of this layout of shards; part of the recipe."""

_BUILDING = ".building-"
_TOKENIZER = "tokenizer"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Where pieces of work run. Errors of the fabric come out as they went in."""

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results of all items, in any order, each as soon as it is there."""
        ...

    def start(self, work: Callable[..., Result], *arguments: object) -> Callable[[], Result]:
        """Begin one piece of work, and return what waits for its result."""
        ...


class Here:
    """An engine that does every piece in this process, one after the other."""

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results in order."""
        return map(work, items)

    def start(self, work: Callable[..., Result], *arguments: object) -> Callable[[], Result]:
        """Done when it is waited for."""
        return lambda: work(*arguments)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run of the stage came to."""

    manifest: DatasetManifest
    """The data set."""

    reused: bool
    """Whether it was there already."""


@dataclass(frozen=True)
class _Run:
    """What stays the same during one run."""

    settings: PrepareSettings
    texts: tuple[TextFile, ...]
    parent: Parent
    recipe: str
    output: Path
    engine: Engine
    reporter: Reporter
    say: Say

    def files(self, names: Sequence[str]) -> list[TextFile]:
        by_name = {text.name: text for text in self.texts}
        return [by_name[name] for name in names]

    def follow(self, results: Iterator[Result], total: int, unit: str) -> list[Result]:
        """Collect results and tell how far they are."""
        collected = []
        for result in results:
            collected.append(result)
            self.reporter.progress(len(collected), total, unit)
            if len(collected) == total or len(collected) % max(1, total // 4) == 0:
                self.say(f"  {len(collected)} of {total} {unit}")
        return collected


def prepare(settings: PrepareSettings, output: Path, engine: Engine, *, reporter: Reporter, say: Say) -> Prepared:
    """Make the data set of `settings` in `output`, or keep the one there if it is what would be made.

    The manifest is written last; until then a former data set in `output` stays as it is.

    Raises:
        BadConfig: If the settings do not fit the source.
        BadInput: If a text is not UTF-8 or two have one name.
        NotFound: If the source is not there.
        StorageFull: If the disk has no room.
        Unavailable: If it does not answer; a data set that cannot be read at the moment is not made again.
    """
    texts = find_texts(settings.source)
    check_names(settings.held_out, texts)
    parent = corpus_parent(settings.source, texts)
    recipe = recipe_version([LAYOUT, CLEANING, parent.version, settings.recipe()])
    say(f"prepare: {len(texts)} texts of {parent.name} ({parent.version})")
    if settings.reuse and (kept := _kept(output, recipe, say)):
        return Prepared(kept, reused=True)
    run = _Run(settings, texts, parent, recipe, output, engine, reporter, say)
    try:
        return Prepared(_make(run), reused=False)
    except OSError as error:
        raise_storage_error(output, error)


def _kept(output: Path, recipe: str, say: Say) -> DatasetManifest | None:
    """The data set in `output` if it was made by this recipe and every file is intact."""
    try:
        manifest = read_manifest(output)
        if manifest.recipe != recipe:
            return None
        for record in manifest.files:
            verify_file(output, record)
    except NotFound:
        return None
    except Corrupt as error:
        say(f"prepare: making it again, for {error.message}")
        return None
    return manifest


def _make(run: _Run) -> DatasetManifest:
    """Do the work."""
    output = run.output
    output.mkdir(parents=True, exist_ok=True)
    for stale in output.glob(f"{_BUILDING}*"):
        shutil.rmtree(stale, ignore_errors=True)
    building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=output))
    try:
        prints = _fingerprints(run)
        plan = plan_split(prints, run.settings)
        _say_plan(plan, run.say)
        sizes, shards = _write(run, plan, {text.name: text.num_bytes for text in prints}, building)
        manifest = _assemble(run, plan, sizes=sizes, shards=shards, building=building)
        _publish(building, output, manifest)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _fingerprints(run: _Run) -> list[Fingerprint]:
    run.reporter.stage("fingerprint")
    run.say("read, clean and fingerprint")
    found = run.follow(run.engine.map(FingerprintText(run.settings), run.texts), len(run.texts), "texts")
    return sorted(found, key=lambda text: text.name)


def _say_plan(plan: SplitPlan, say: Say) -> None:
    counts = Counter(decision.fate for decision in plan.decisions.values())
    say("  " + ", ".join(f"{counts[fate]} {fate.value}" for fate in Fate if counts[fate]))


def _write(
    run: _Run, plan: SplitPlan, num_bytes: dict[str, int], building: Path
) -> tuple[tuple[int, int], dict[Split, list[ShardDone]]]:
    """Learn the vocabulary and write the shards; compress meanwhile. Returns compressed sizes and what was written."""
    run.reporter.stage("tokenise")
    train, held_out = run.files(plan.names(Fate.TRAIN)), run.files(plan.names(Fate.HELD_OUT))
    run.say(f"learn {run.settings.tokenizer.vocab_size} tokens; xz -9e meanwhile")
    learned = run.engine.start(learn_vocabulary, train, run.settings.tokenizer.vocab_size, building / _TOKENIZER)
    compressed = [run.engine.start(compressed_size, texts) for texts in (train, train + held_out)]
    learned()
    texts_of: dict[Split, list[TextFile]] = {"train": train, "held_out": held_out}
    plans: dict[Split, tuple[ShardPlan, ...]] = {
        split: plan_shards(split, [(text, num_bytes[text.name]) for text in texts], run.settings.shard_bytes)
        for split, texts in texts_of.items()
    }
    ordered = [shard for shards in plans.values() for shard in shards]
    run.say("tokenise and pack")
    work = WriteShard(building / _TOKENIZER, building)
    done = {shard.file_name: shard for shard in run.follow(run.engine.map(work, ordered), len(ordered), "shards")}
    written = {split: [done[shard.file_name] for shard in shards] for split, shards in plans.items()}
    run.say("wait for xz")
    return (compressed[0](), compressed[1]()), written


def _split_record(version: str, shards: Sequence[ShardDone]) -> SplitRecord:
    documents, start = [], 0
    for shard in shards:
        for name, tokens, num_bytes in shard.lengths:
            documents.append(Document(name=name, start=start, tokens=tokens, bytes=num_bytes))
            start += tokens
    return SplitRecord(
        shards=tuple(f"{version}/{shard.file_name}" for shard in shards),
        shard_tokens=tuple(shard.tokens for shard in shards),
        documents=tuple(documents),
    )


def _assemble(
    run: _Run, plan: SplitPlan, *, sizes: tuple[int, int], shards: dict[Split, list[ShardDone]], building: Path
) -> DatasetManifest:
    """The manifest of what lies in `building` and will lie in a folder named by the version."""
    names = sorted(str(path.relative_to(building)) for path in building.rglob("*") if path.is_file())
    files = [_record(building, name) for name in names]
    version = content_version(files)
    splits: dict[Split, SplitRecord] = {split: _split_record(version, written) for split, written in shards.items()}
    return DatasetManifest(
        version=version,
        recipe=run.recipe,
        config=run.settings.model_dump(mode="json"),
        parents=(run.parent,),
        metrics=_metrics(plan, splits, sizes),
        decisions={name: f"{found.fate.value}: {found.reason}" for name, found in plan.decisions.items()},
        vocab_size=run.settings.tokenizer.vocab_size,
        tokenizer=f"{version}/{_TOKENIZER}",
        splits=splits,
        files=tuple(record.model_copy(update={"path": f"{version}/{record.path}"}) for record in files),
    )


def _record(folder: Path, name: str) -> FileRecord:
    path = folder / name
    return FileRecord(path=name, bytes=path.stat().st_size, sha256=file_sha256(path))


def _metrics(plan: SplitPlan, splits: dict[Split, SplitRecord], sizes: tuple[int, int]) -> dict[str, float]:
    train, held_out = splits["train"], splits["held_out"]
    counts = Counter(decision.fate for decision in plan.decisions.values())
    return {
        "texts": len(plan.decisions),
        **{f"texts_{fate.value}": counts[fate] for fate in Fate},
        "exact_groups": len(plan.exact_groups),
        "related_pairs": len(plan.related),
        "train_tokens": train.tokens,
        "train_bytes": train.bytes,
        "held_out_tokens": held_out.tokens,
        "held_out_bytes": held_out.bytes,
        "xz_train_bytes": sizes[0],
        "xz_both_bytes": sizes[1],
        "xz_bits_per_byte": xz_bits_per_byte(train_bytes=sizes[0], both_bytes=sizes[1], held_out_bytes=held_out.bytes),
    }


def _publish(building: Path, output: Path, manifest: DatasetManifest) -> None:
    """Move the files under their version and write the manifest; equal contents that are there already stay."""
    target = output / manifest.version
    try:
        for record in manifest.files:
            verify_file(output, record)
    except Corrupt:
        shutil.rmtree(target, ignore_errors=True)
        building.rename(target)
        target.chmod(0o755)
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    write_atomically(output / MANIFEST, text.encode())
