"""The objects of one kind, kept in step with the API server: listed once, then watched; listed anew when that breaks.

Knows nothing of what they mean.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from fabric.backends.kuberay.api import Change, Expired, Kind, KubeApi, Object
from fabric.core.errors import BadConfig, Denied, FabricError, NotFound, Unavailable

_log = logging.getLogger(__name__)

_PAUSES_S = (0.2, 1.0, 2.0, 5.0)
"""Between a failed attempt and the next, the last one repeated."""
_MOST_GONE = 2000
"""How many objects that are gone are remembered as they were last."""


class Mirror(threading.Thread):
    """What exists, as last heard."""

    def __init__(
        self,
        api: KubeApi,
        kind: Kind,
        selector: str,
        changed: Callable[[], None],
        *,
        grouped_by: str = "",
        matters: Callable[[Object], object] | None = None,
        heard: Callable[[str], None] | None = None,
    ) -> None:
        """Listens to nothing before it is started.

        Args:
            api: The server.
            kind: Of objects.
            selector: Labels that they have.
            changed: Called after every change.
            grouped_by: A label, by whose value they can be asked for.
            matters: What of an object is worth a call of `changed`; None is all of it.
            heard: Called as often, of each object that changed: with the value of the label `grouped_by`, or the
                object's name where there is none.
        """
        super().__init__(name=f"mirror-{kind.plural}", daemon=True)
        self._api, self._kind, self._selector, self._changed = api, kind, selector, changed
        self._label = grouped_by
        self._heard = heard
        self._matters = matters
        self._objects: dict[str, Object] = {}
        self._groups: dict[str, dict[str, Object]] = {}
        self._gone: OrderedDict[str, tuple[Object, int]] = OrderedDict()
        """By uid: what it was last, and the version at which it was known to be gone."""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._synced = threading.Event()
        self.problem: FabricError | None = None
        """Why nothing is heard at present."""

    def first_look(self, patience_s: float) -> bool:
        """Wait until everything was listed once, or cannot be; whether it was."""
        ends = time.monotonic() + patience_s
        while not self._synced.wait(_PAUSES_S[0]):
            if time.monotonic() > ends or isinstance(self.problem, Denied | NotFound | BadConfig):
                return False
        return True

    def objects(self) -> Mapping[str, Object]:
        """What exists, by name; a copy."""
        with self._lock:
            return dict(self._objects)

    def get(self, name: str) -> Object | None:
        """The object of that name."""
        with self._lock:
            return self._objects.get(name)

    def group(self, value: str) -> list[Object]:
        """Those whose label has this value, by name."""
        with self._lock:
            found = self._groups.get(value, {})
            return [found[name] for name in sorted(found)]

    def gone(self, uid: str) -> Object | None:
        """An object that is gone, as it was last."""
        with self._lock:
            return self._gone[uid][0] if uid in self._gone else None

    def learn(self, item: Object) -> None:
        """Take in what an answer to our own call says, before the watch does."""
        self._apply(Change("MODIFIED", item))

    def end(self) -> None:
        """Listen no more; returns at once."""
        self._over.set()

    def run(self) -> None:
        """List and watch until told to end."""
        failures = 0
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self._follow()
            except FabricError as error:
                if not isinstance(error, Expired):
                    self.problem = error
                    _log.warning("%s", error.message)
            except Exception as error:  # a thread that ended here would leave everybody with what was true then
                self.problem = Unavailable(f"{self._kind.plural} are not heard: {type(error).__name__} {error}")
                _log.exception("%s", self.name)
            if time.monotonic() - began > _PAUSES_S[-1]:
                failures = 0  # it was heard well for so long, so this is another trouble than the last
            self._over.wait(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            failures += 1

    def _follow(self) -> None:
        """List everything, then watch, again and again, while the server knows where we were."""
        found = self._api.listing(self._kind, self._selector)
        self._replace({item["metadata"]["name"]: item for item in found.items}, found.version)
        self.problem = None
        self._synced.set()
        version = found.version
        while not self._over.is_set():
            for change in self._api.watch(self._kind, version, self._selector):
                version = change.object["metadata"]["resourceVersion"]
                if change.kind != "BOOKMARK":
                    self._apply(change)
                if self._over.is_set():
                    return

    def _replace(self, found: dict[str, Object], version: str) -> None:
        """Take in a listing, but for what an answer to a call of ours said after it was made."""
        with self._lock:
            for name, known in self._objects.items():
                if _version(known) > _count(version):
                    found[name] = known
                elif name not in found:
                    self._bury(known, _count(version))
            whose = {self._whose(item) for item in (*self._objects.values(), *found.values())}
            self._objects, self._groups = {}, {}
            for item in found.values():
                self._put(item)
        self._tell(whose)

    def _apply(self, change: Change) -> None:
        item = change.object
        name = item["metadata"]["name"]
        with self._lock:
            known = self._objects.get(name)
            if (known and _older(item, known)) or self._is_buried(item):
                return
            if known:
                self._groups.get(self._group_of(known), {}).pop(name, None)
                del self._objects[name]
            if change.kind == "DELETED":
                self._bury(item, _version(item))
            else:
                self._put(item)
            same = change.kind != "DELETED" and known is not None and self._is_same(known, item)
        if not same:
            self._tell({self._whose(item)})

    def _tell(self, whose: Iterable[str]) -> None:
        self._changed()
        if self._heard is not None:
            for each in whose:
                self._heard(each)

    def _whose(self, item: Object) -> str:
        return self._group_of(item) if self._label else str(item["metadata"]["name"])

    def _is_same(self, known: Object, item: Object) -> bool:
        return self._matters is not None and self._matters(known) == self._matters(item)

    def _put(self, item: Object) -> None:
        self._objects[item["metadata"]["name"]] = item
        self._groups.setdefault(self._group_of(item), {})[item["metadata"]["name"]] = item

    def _group_of(self, item: Object) -> str:
        return str(item["metadata"].get("labels", {}).get(self._label, ""))

    def _is_buried(self, item: Object) -> bool:
        """Whether it is told late of something that is gone; what has our labels again is not."""
        uid = item["metadata"].get("uid")
        if uid in self._gone and _version(item) > self._gone[uid][1]:
            del self._gone[uid]
        return uid in self._gone

    def _bury(self, item: Object, version: int) -> None:
        self._gone[item["metadata"].get("uid", "")] = item, version
        while len(self._gone) > _MOST_GONE:
            self._gone.popitem(last=False)


def _older(item: Object, known: Object) -> bool:
    """Whether `item` is an earlier state of the same object than `known`; etcd counts its versions upwards."""
    if item["metadata"].get("uid") != known["metadata"].get("uid"):
        return False
    return _version(item) < _version(known)


def _version(item: Object) -> int:
    return _count(str(item["metadata"].get("resourceVersion", "")))


def _count(version: str) -> int:
    return int(version) if version.isdigit() else 0
