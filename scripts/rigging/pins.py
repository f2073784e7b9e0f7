"""What the rig is made of: Go modules by version and Debian packages by name.

Knows nothing of how they are fetched, built or run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

KUBERNETES = "1.37.2"
"""Version of the control plane and the kubelets; its libraries are released as 0.MINOR.PATCH."""
KUBERAY = "1.6.2"
"""Version of the KubeRay operator, and of the definitions of its objects."""
KWOK = "0.8.0"
"""Version of kwok, which plays nodes and pods that do not exist."""

STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
"""Which of kwok's behaviours fake nodes and pods have: ready at once."""

DEBIAN_PACKAGES: Mapping[str, str] = {
    "etcd-server": "usr/bin/etcd",
    "containerd": "usr/bin/containerd",
    "runc": "usr/sbin/runc",
    "containernetworking-plugins": "usr/lib/cni/bridge",
}
"""Packages that are unpacked into the cache, never installed, and the file each is needed for."""

COREDNS_MAIN = """\
// CoreDNS with what a cluster's names need, and no more.
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() { coremain.Run() }
"""

PAUSE_MAIN = """\
// The process that keeps a pod's namespaces: it waits to be told to leave, and reaps what is left to it.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	told := make(chan os.Signal, 8)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for {
		if <-told != syscall.SIGCHLD {
			return
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}
"""


@dataclass(frozen=True, slots=True)
class GoTool:
    """One Go module, and the programs built from it in one go."""

    name: str
    packages: Mapping[str, str]
    """Package by the name of its program. A `.` is the main package in `main`."""
    module: str = ""
    """Path of the module; empty if `main` needs none."""
    version: str = ""
    main: str = ""
    """Source of a main package of our own."""
    flags: tuple[str, ...] = ()
    """Further arguments of the linker."""
    static: bool = False
    """Whether it must run where there is no C library."""
    staging: str = ""
    """Version of the libraries that the module replaces by folders of its own repository."""

    @property
    def at(self) -> str:
        """Module and version as Go writes them; empty without a module."""
        return f"{self.module}@v{self.version}" if self.module else ""


def _kubernetes_version() -> tuple[str, ...]:
    # Without a version of its own a server names one that clients cannot read.
    major, minor, _ = KUBERNETES.split(".")
    said = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return tuple(f"-X {package}.{name}={value}" for package in packages for name, value in said.items())


TOOLS = (
    GoTool("pause", {"pause": "."}, main=PAUSE_MAIN, static=True),
    GoTool(
        "kubernetes",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
        },
        "k8s.io/kubernetes",
        KUBERNETES,
        flags=_kubernetes_version(),
        staging=f"0.{KUBERNETES.partition('.')[2]}",
    ),
    GoTool("coredns", {"coredns": "."}, "github.com/coredns/coredns", "1.15.0", main=COREDNS_MAIN),
    GoTool(
        "kuberay",
        {"kuberay-operator": "github.com/ray-project/kuberay/ray-operator"},
        "github.com/ray-project/kuberay/ray-operator",
        KUBERAY,
    ),
    GoTool("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, "sigs.k8s.io/kwok", KWOK),
)
"""What the rig runs, in the order in which it is built."""

PEERS = (GoTool("kueue", {"kueue": "sigs.k8s.io/kueue/cmd/kueue"}, "sigs.k8s.io/kueue", "0.15.2"),)
"""What the rig is compared with."""
