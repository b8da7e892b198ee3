"""A server on this machine that speaks as Google Cloud Storage does, and can be told to fail.

    with google_store() as store:      # STORAGE_EMULATOR_HOST points to it meanwhile
        store.put("videos/a.mp4", file)
        store.fail(503)
        url = store.url("videos/")

Google has no server to run: this is `gcp-storage-emulator`, which knows no accounts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import requests

BUCKET = "footage"
_PATIENCE_S = 60


@dataclass
class GoogleStore:
    """The server at `endpoint`, with one bucket, `BUCKET`."""

    endpoint: str
    status: int = 0
    """What it answers to whoever reads or lists; 0 for what was asked."""
    left: int = 0
    n_read: int = 0
    """How often something of an object was read."""

    def url(self, key: str = "") -> str:
        return f"gs://{BUCKET}/{key}"

    def put(self, key: str, content: bytes | Path) -> str:
        """Put an object; gives its URL."""
        body = content.read_bytes() if isinstance(content, Path) else content
        asked = {"uploadType": "media", "name": key}
        self._post(f"upload/storage/v1/b/{BUCKET}/o", params=asked, data=body)
        return self.url(key)

    def delete(self, key: str) -> None:
        name = quote(key, safe="")
        answer = requests.delete(
            f"{self.endpoint}/storage/v1/b/{BUCKET}/o/{name}", timeout=_PATIENCE_S
        )
        answer.raise_for_status()

    def fail(self, status: int, times: int = 1_000_000) -> None:
        """Answer the next requests that read or list with an error."""
        self.status, self.left = status, times

    def heal(self) -> None:
        self.status = self.left = 0

    def make_bucket(self) -> None:
        self._post("storage/v1/b", json={"name": BUCKET})

    def _post(self, path: str, **what: Any) -> None:
        answer = requests.post(f"{self.endpoint}/{path}", timeout=_PATIENCE_S, **what)
        answer.raise_for_status()


@contextmanager
def google_store() -> Iterator[GoogleStore]:
    """The server with an empty bucket, for as long as the block lasts."""
    from gcp_storage_emulator.server import RequestHandler
    from gcp_storage_emulator.storage import Storage

    class Handler(RequestHandler):  # type: ignore[misc]
        def do_GET(self) -> None:
            store.n_read += "alt=media" in self.path
            if store.left <= 0:
                super().do_GET()
                return
            store.left -= 1
            self.send_error(store.status, "as the test wants it")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of a reader that has heard enough."""

    server = Server(("127.0.0.1", 0), partial(Handler, Storage(use_memory_fs=True)))
    store = GoogleStore(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with patch.dict(os.environ, {"STORAGE_EMULATOR_HOST": store.endpoint}):
            store.make_bucket()
            yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
