"""Whether what a site relies on beside this machine answers: its database, its Kubernetes, its provider of log-ins.

Knows nothing of how what is found is shown. It only looks: nothing is made, migrated or started.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import httpx

from fabric.backends.kuberay.api import KINDS, NODES, RAY_CLUSTERS, RAY_JOBS, KubeApi
from fabric.backends.kuberay.kr8s_api import Kr8sApi
from fabric.backends.kuberay.nodes import nodes_seen
from fabric.config.site import Site
from fabric.control.oidc import OidcTokens
from fabric.core.errors import FabricError, NotFound
from fabric.scheduler.snapshot import NodeState
from fabric.store.database import schema_of
from fabric.store.postgres import postgres_engine

_RAYS = frozenset({RAY_CLUSTERS, RAY_JOBS})


@dataclass(frozen=True, slots=True)
class Found:
    """One neighbour, or a part of it."""

    name: str
    """What was looked at."""
    status: Literal["ok", "warning", "failed"]
    """`failed` keeps the fabric from working, `warning` may."""
    found: str
    """What is there."""
    advice: str = ""
    """What to do; empty if all is well."""


def neighbours(
    site: Site, *, api: Callable[[str], KubeApi] = Kr8sApi, provider: httpx.BaseTransport | None = None
) -> Iterator[Found]:
    """Everything that the site names.

    Args:
        site: The installation.
        api: From a namespace to the API server; for tests.
        provider: What carries questions to the provider of log-ins instead of the network; for tests.
    """
    if site.store.url is not None:
        yield _database(site)
    if site.kubernetes is not None:
        server = api(site.kubernetes.namespace)
        try:
            yield from _kubernetes(site, server)
        finally:
            server.close()
    if site.oidc is not None:
        yield _provider(site, provider)


def _database(site: Site) -> Found:
    try:
        engine = postgres_engine(site.store, "doctor")
        try:
            present, ours = schema_of(engine)
        finally:
            engine.dispose()
    except FabricError as error:
        advice = "start the database, or correct `store` in the site file; every control of the site must reach it"
        return Found("database", "failed", error.message, advice)
    if present == ours:
        return Found("database", "ok", f"answers, its schema {ours} is ours")
    begins = f"the next start brings its schema from {present} to {ours}" if present else "it is empty"
    return Found("database", "ok", f"answers; {begins}")


def _kubernetes(site: Site, server: KubeApi) -> Iterator[Found]:
    try:
        objects = server.listing(NODES).items
    except FabricError as error:
        advice = "give this process a kubeconfig, or the account and role in clusters/base"
        yield Found("kubernetes", "failed", error.message, advice)
        return
    ready = Counter(node.tier for node in nodes_seen(site, objects).nodes if node.state is not NodeState.DOWN)
    short = [tier.name for tier in site.tiers if ready[tier.name] < tier.nodes]
    counted = ", ".join(f"{tier.name} {ready[tier.name]} of {tier.nodes} nodes" for tier in site.tiers)
    advice = f"label nodes as the `selector` of tier {', '.join(short)} says, or correct `nodes`" if short else ""
    yield Found("kubernetes", "warning" if short else "ok", counted, advice)
    yield _rights(server)


def _rights(server: KubeApi) -> Found:
    """Whether the kinds that the backend touches may be looked at, and are there."""
    for kind in KINDS:
        try:
            server.listing(kind)
        except NotFound as error:
            advice = "install KubeRay's operator" if kind in _RAYS else "this is no Kubernetes that the fabric knows"
            return Found("kuberay", "failed", f"{kind.plural}: {error.message}", advice)
        except FabricError as error:
            return Found("kuberay", "failed", f"{kind.plural}: {error.message}", "apply clusters/base/rights.yaml")
    return Found("kuberay", "ok", f"{len(KINDS)} kinds of objects are there and may be listed")


def _provider(site: Site, transport: httpx.BaseTransport | None) -> Found:
    if site.oidc is None:
        raise ValueError("the site names no provider")
    try:
        num_keys = OidcTokens(site.oidc, transport).num_keys()
    except FabricError as error:
        advice = "nobody can log in with its tokens until it answers; keys of the fabric work meanwhile"
        return Found("log-ins", "failed", error.message, advice)
    return Found("log-ins", "ok", f"{site.oidc.issuer} tells {num_keys} keys")
