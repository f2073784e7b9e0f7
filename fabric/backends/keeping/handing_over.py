"""What is to run on a cluster goes to its Ray head, with the packages that it names.

Knows nothing of when: a keeper says so, once.
"""

from fabric.backends.keeping.entrypoint import job_request, packages_in
from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.ports import Packages, RayNodes
from fabric.scheduler.ports import WantedCluster
from fabric.workloads.environments import environments_of


def hand_over(wanted: WantedCluster, slices: RayNodes, head: RayHead, packages: Packages) -> None:
    """Let an entrypoint begin, or a Serve configuration be what the cluster serves.

    Args:
        wanted: The work.
        slices: Of its cluster.
        head: Of its cluster.
        packages: Uploaded working directories.

    Raises:
        BadInput: If the head refuses it.
        ClusterLost: If the head does not answer.
        NotFound: If a package is gone.
    """
    given = environments_of(wanted.runtime_env, {}) if wanted.serve is None else environments_of({}, wanted.serve)
    for uri in {uri: None for _, environment in given for uri in packages_in(environment)}:
        head.put_package(uri, packages.path(uri.rpartition("/")[2], wanted.project))
    if wanted.serve is not None:
        head.deploy(slices.listening(wanted.serve))
    else:
        head.submit(job_request(wanted, slices.layout.late))
