"""A small Serve application as people write it, packed as a working_dir that any Ray cluster can fetch.

Knows nothing of the fabric.
"""

import zipfile
from pathlib import Path

CODE = """
import os
from ray import serve
from starlette.requests import Request
from starlette.responses import StreamingResponse


@serve.deployment
class Echo:
    def __init__(self, word: str = "hello"):
        self.word = word

    async def __call__(self, request: Request):
        if request.url.path.endswith("/stream"):
            return StreamingResponse((f"{number};" for number in range(3)), media_type="text/plain")
        body = (await request.body()).decode()
        return {"word": self.word, "method": request.method, "path": request.url.path, "body": body,
                "query": dict(request.query_params), "slice": os.environ.get("FABRIC_SLICE")}


def build(args: dict):
    return Echo.bind(args.get("word", "hello"))


app = Echo.bind()


@serve.deployment
class Broken:
    def __init__(self):
        raise RuntimeError("no luck")


broken = Broken.bind()
"""
"""Of the module `shop`."""


def packed(folder: Path) -> str:
    """The URI of a zip file that holds the module."""
    file = folder / "shop.zip"
    with zipfile.ZipFile(file, "w") as archive:
        # Ray takes a single folder at the top of a remote package away.
        archive.writestr("shop/shop.py", CODE)
    return file.as_uri()
