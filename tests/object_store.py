"""A real S3 server on this machine (moto's), which can be told to count, to refuse and to fail.

    with object_store() as store:      # AWS_* of the environment point to it meanwhile
        store.put("videos/a.mp4", file)
        store.fail(503, times=2)
        url = store.url("videos/")

It runs in a thread of the test; other processes reach it by the environment they inherit.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

BUCKET = "footage"
KEY_ID = "AKIAVIDSEARCHTEST0001"
SECRET = "wJalrXUtnFEMI/K7MDENG/verySecretKey"
READER = "AKIAVIDSEARCHREADER01"
"""A key id under which nothing may be written."""
_WRITES = ("PUT", "POST", "DELETE")


@dataclass(frozen=True)
class Request:
    """One request: what was asked, the answer's status, and bytes of the answer's body."""

    method: str
    path: str
    query: str
    range: str
    status: int
    sent: int


@dataclass
class _Fault:
    status: int
    left: int
    where: Callable[[str, str], bool]
    delay_s: float
    beyond: int = 0  # bytes of the object: requests for earlier ones are answered


@dataclass
class ObjectStore:
    """The server at `endpoint`, with one bucket, `BUCKET`."""

    endpoint: str
    requests: list[Request] = field(default_factory=list)
    faults: list[_Fault] = field(default_factory=list)
    bytes_per_s: float = 0.0
    """How fast bodies are sent, each of them; 0 for as fast as it goes."""

    def url(self, key: str = "") -> str:
        return f"s3://{BUCKET}/{key}"

    @property
    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def put(self, key: str, content: bytes | Path) -> str:
        """Put an object; gives its URL."""
        body = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)
        return self.url(key)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def content(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def forget_versioning(self) -> None:
        """Let the bucket be one that never kept versions, which S3 itself does not allow."""
        from moto.s3.models import s3_backends

        bucket = s3_backends["123456789012"]["aws"].buckets[BUCKET]
        bucket.versioning_status = None

    def fail(
        self,
        status: int,
        *,
        times: int = 1_000_000,
        where: Callable[[str, str], bool] = lambda method, path: True,
        delay_s: float = 0.0,
        beyond: int = 0,
    ) -> None:
        """Answer the next requests for which `where(method, path)` holds with an error.

        A `status` of 0 answers as ever, after `delay_s`. With `beyond` only requests for a range
        that begins so many bytes in, or later.
        """
        self.faults.append(_Fault(status, times, where, delay_s, beyond))

    def empty(self) -> None:
        """Delete all objects, and forget the requests."""
        for key in self.keys():
            self.client.delete_object(Bucket=BUCKET, Key=key)
        self.requests.clear()

    def heal(self) -> None:
        """Fail no more, and be fast."""
        self.faults.clear()
        self.bytes_per_s = 0.0

    @contextmanager
    def counted(self) -> Iterator[list[Request]]:
        """The requests that come in the block."""
        before = len(self.requests)
        found: list[Request] = []
        yield found
        found += self.requests[before:]


class _Watched:
    """The server's WSGI application, with what `ObjectStore` tells it done around it."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.store: ObjectStore | None = None

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], unquote(environ.get("PATH_INFO", ""))
        refused = self._refusal(method, path, environ)
        seen: list[int] = []

        def noted(status: str, headers: Any, *rest: Any) -> Any:
            seen.append(int(status.split()[0]))
            return start(status, headers, *rest)

        if refused:
            body: list[bytes] = [self._error(refused, noted, environ)]
        else:
            body = list(self._application(environ, noted))
        if self.store is not None:
            asked = environ.get("HTTP_RANGE", "")
            sent = sum(map(len, body)) if method == "GET" else 0
            query = environ.get("QUERY_STRING", "")
            self.store.requests.append(Request(method, path, query, asked, seen[-1], sent))
            if sent and self.store.bytes_per_s:
                return _slowly(b"".join(body), self.store.bytes_per_s)
        return body

    def _refusal(self, method: str, path: str, environ: dict[str, Any]) -> int:
        if method in _WRITES and READER in environ.get("HTTP_AUTHORIZATION", ""):
            return 403
        for fault in list(self.store.faults) if self.store else []:
            if fault.left > 0 and fault.where(method, path) and _begin(environ) >= fault.beyond:
                fault.left -= 1
                time.sleep(fault.delay_s)
                return fault.status
        return 0

    def _error(self, status: int, start: Any, environ: dict[str, Any]) -> bytes:
        code = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}.get(status, "Error")
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        text = f"<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>".encode()
        head = [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))]
        start(f"{status} {code}", head)
        return b"" if environ["REQUEST_METHOD"] == "HEAD" else text


def _begin(environ: dict[str, Any]) -> int:
    """The first byte that a request is for."""
    asked = environ.get("HTTP_RANGE", "").removeprefix("bytes=").partition("-")[0]
    return int(asked) if asked.isdigit() else 0


def _slowly(body: bytes, bytes_per_s: float) -> Iterator[bytes]:
    """A tenth of a second's worth at a time."""
    part = max(1, round(bytes_per_s / 10))
    for begin in range(0, len(body), part):
        time.sleep(0.1)
        yield body[begin : begin + part]


def environment(endpoint: str, key_id: str = KEY_ID) -> dict[str, str]:
    """What points AWS's own tools to the server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """The server with an empty bucket, for as long as the block lasts."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    watched = _Watched(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, watched, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    store = ObjectStore(f"http://127.0.0.1:{server.server_port}")
    try:
        with patch.dict(os.environ, environment(store.endpoint)):
            os.environ.pop("AWS_PROFILE", None)
            store.client.create_bucket(Bucket=BUCKET)
            watched.store = store
            yield store
    finally:
        server.shutdown()
        thread.join()
        _forget_everything()


def _forget_everything() -> None:
    """moto keeps its objects in the process: the next server must not find them."""
    from moto.s3.models import s3_backends

    for regions in s3_backends.values():
        for backend in regions.values():
            backend.reset()
