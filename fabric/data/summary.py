"""What a finished run of the prepare stage tells a person.

Knows nothing of how it was made.
"""

from fabric.data.manifest import DatasetManifest, SplitRecord
from fabric.data.split import Fate

_WORDS = {
    Fate.TRAIN: "to train on",
    Fate.HELD_OUT: "held out",
    Fate.LEAK: "left out because they share text with what is held out",
    Fate.EXACT: "exact duplicates removed",
    Fate.NEAR: "near duplicates removed",
    Fate.CONTAINED: "removed because another text contains them",
    Fate.SHORT: "too short",
}


def summary(manifest: DatasetManifest) -> str:
    """Several lines: texts and what became of them, tokens, bytes, and the baseline to beat."""
    metrics = manifest.metrics
    parent = manifest.parents[0]
    fates = [(words, int(metrics[f"texts_{fate.value}"])) for fate, words in _WORDS.items()]
    lines = [
        f"data set {manifest.version} of {parent.name} ({parent.version})",
        f"  texts      {int(metrics['texts'])}: " + ", ".join(f"{count} {words}" for words, count in fates if count),
        f"  duplicates {int(metrics['exact_groups'])} groups of equal texts; {int(metrics['related_pairs'])} pairs are "
        "related without being duplicates",
        *(_split_line(name, record) for name, record in manifest.splits.items()),
        f"  xz -9e     {metrics['xz_bits_per_byte']:.3f} bits per held-out byte after the training split "
        f"({int(metrics['xz_train_bytes']):,} to {int(metrics['xz_both_bytes']):,} bytes)",
    ]
    return "\n".join(lines)


def _split_line(name: str, split: SplitRecord) -> str:
    label = name.replace("_", " ")
    density = split.bytes / split.tokens
    return (
        f"  {label:<10} {split.tokens:,} tokens, {split.bytes:,} bytes ({density:.2f} bytes a token), "
        f"{len(split.documents)} texts in {len(split.shards)} shards"
    )
