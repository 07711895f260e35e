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

    def kept(self, model_id: bytes, revision: int) -> bytes | None:
        """The document of the model, if it is the one of this revision."""
        of_revision, document = self._kept.get(model_id, (-1, b""))
        return document if of_revision == revision else None

    async def of(self, tx: Tx, revisions: Mapping[bytes, int]) -> tuple[list[bytes], Built]:
        """The documents of these models, in order, within the snapshot that gave their revisions.

        Pass what was built to `keep` on the event loop, and nothing that a transaction of writing
        saw: it may be rolled back.
        """
        documents = {key: self.kept(key, revision) for key, revision in revisions.items()}
        absent = [key for key, document in documents.items() if document is None]
        built: Built = {}
        if absent:
            models = await store.find_all(tx, absent)
            built = {key: (revisions[key], encode(model)) for key, model in models.items()}
            documents.update((key, document) for key, (_, document) in built.items())
        return [document for document in documents.values() if document is not None], built

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
