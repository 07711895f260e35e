"""Registered models as the JSON that clients get, kept in memory.

A model's row counts its changes, those of its versions, tags and aliases among them. What was kept
of a model counts only while the number read in the same snapshot is the one that it was built from:
so it need not be told of changes, and other replicas make none that it misses.
"""

from collections.abc import Mapping

from riverrun.store import registered_models as store
from riverrun.store.engine import Tx
from riverrun.wire.codec import encode

KEPT_BYTES_MAX = 8 * 1024 * 1024
"""About ten thousand models with a few tags and two versions each."""

Built = dict[bytes, tuple[int, bytes]]
"""Documents by the model's id, each with the revision that it was built from."""


class ModelDocuments:
    def __init__(self) -> None:
        self._kept: Built = {}
        self._kept_bytes = 0

    async def of(self, tx: Tx, revisions: Mapping[bytes, int]) -> tuple[list[bytes], Built]:
        """The documents of these models, in order, within the snapshot that gave their revisions.

        Pass what was built to `keep` on the event loop, and nothing that a transaction of writing
        saw: it may be rolled back.
        """
        kept = {model_id: self._kept.get(model_id, (-1, b"")) for model_id in revisions}
        absent = [key for key, (revision, _) in kept.items() if revision != revisions[key]]
        built: Built = {}
        if absent:
            models = await store.find_all(tx, absent)
            built = {key: (revisions[key], encode(model)) for key, model in models.items()}
            kept.update(built)
        return [document for _, document in kept.values()], built

    def keep(self, built: Built) -> None:
        """The oldest make room for them."""
        for model_id, (revision, document) in built.items():
            self._forget(model_id)
            self._kept[model_id] = (revision, document)
            self._kept_bytes += len(document)
        while self._kept_bytes > KEPT_BYTES_MAX:
            self._forget(next(iter(self._kept)))

    def _forget(self, model_id: bytes) -> None:
        _, document = self._kept.pop(model_id, (0, b""))
        self._kept_bytes -= len(document)
