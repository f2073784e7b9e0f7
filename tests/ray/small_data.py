"""A prepared data set of made-up tokens, without the stage that prepares one."""

from pathlib import Path

import numpy as np

from fabric.data.manifest import (
    DatasetManifest,
    Document,
    FileRecord,
    SplitRecord,
    content_version,
    file_sha256,
)

VOCABULARY = 512


def _walk(num_tokens: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """Tokens that follow each other in a way a model can learn."""
    steps = np.random.default_rng(seed).integers(1, 4, num_tokens)
    return (np.cumsum(steps) % (VOCABULARY - 1) + 1).astype(np.uint16)


def write_data_set(folder: Path, *, train_tokens: int = 20_000, held_out_tokens: int = 2_000) -> DatasetManifest:
    """Write one to `folder`."""
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    sizes = {"train": train_tokens, "held_out": held_out_tokens}
    splits = {}
    for seed, (name, size) in enumerate(sizes.items()):
        np.save(folder / f"{name}.npy", _walk(size, seed))
        text = Document(name=f"{name}.txt", start=0, tokens=size, bytes=3 * size)
        splits[name] = SplitRecord(shards=(f"{name}.npy",), shard_tokens=(size,), documents=(text,))
    paths = ("tokenizer/tokenizer.json", "train.npy", "held_out.npy")
    files = tuple(
        FileRecord(path=path, bytes=(folder / path).stat().st_size, sha256=file_sha256(folder / path)) for path in paths
    )
    manifest = DatasetManifest(
        version=content_version(files),
        recipe="made up",
        config={},
        parents=(),
        metrics={"xz_bits_per_byte": 2.5},
        decisions={},
        vocab_size=VOCABULARY,
        tokenizer="tokenizer",
        splits=splits,  # type: ignore[arg-type]
        files=files,
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return manifest
