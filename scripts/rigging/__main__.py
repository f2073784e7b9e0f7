"""The command line of the rig."""

import argparse
import json
import sys
from collections.abc import Sequence

from scripts.rigging.building import build
from scripts.rigging.errors import RigError
from scripts.rigging.layout import layout
from scripts.rigging.rig import Rig, Status

EPILOG = """\
A component is what `scripts/rig status` lists; a node stands for its kubelet, its runtime and all its pods.
Everything is explained in scripts/rigging/README.md."""


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    described = argparse.ArgumentParser(
        prog="scripts/rig", description="A real Kubernetes with KubeRay on this machine, without Docker. Needs root.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    verbs = described.add_subparsers(dest="verb", required=True, metavar="VERB")
    building = verbs.add_parser("build", help="fetch and build its programs; minutes the first time")
    building.add_argument("--peers", action="store_true", help="also Kueue, for comparisons")
    verbs.add_parser("up", help="start what does not run, and wait until pods can be")
    verbs.add_parser("down", help="end it all and leave nothing")
    status = verbs.add_parser("status", help="say what runs; exit status 1 if not everything does")
    status.add_argument("--json", action="store_true", help="as JSON")
    for verb, does in (("kill", "kill -9 a component or a whole node"), ("start", "start it again and wait for it")):
        verbs.add_parser(verb, help=does).add_argument("name", metavar="NAME", help="of a component or a node")
    return described


def show(status: Status) -> str:
    """The status as a person reads it."""
    lines = [f"{name:24} {pid or '-'}" for name, pid in status.components.items()]
    lines += [f"node {name:19} {state}" for name, state in status.nodes.items()]
    said = f"up at {status.server}, access in {status.kubeconfig}" if status.up else "not up: scripts/rig up"
    return "\n".join([*lines, f"the rig is {said}"])


def main(words: Sequence[str]) -> int:
    """Do what `words` say; returns the exit status."""
    told = parser().parse_args(words)
    rig = Rig(layout())
    try:
        if told.verb == "build":
            build(layout(), peers=told.peers)
        elif told.verb == "status":
            status = rig.status()
            print(json.dumps(status.as_json(), indent=1) if told.json else show(status))
            return int(not status.up)
        elif told.verb in ("kill", "start"):
            getattr(rig, told.verb)(told.name)
        else:
            getattr(rig, told.verb)()
    except RigError as error:
        print(f"rig: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
