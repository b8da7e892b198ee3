"""Objects in a store (S3, Google Cloud Storage) as far as they are like files, over fsspec.

The only module that imports fsspec and the engines below it (s3fs, gcsfs), and that only once an
object is really looked at. Endpoint, region and credentials are found as the stores' own tools
find them: by environment, profile or the role of a machine. What fails is an OSError with a reason
of one clause and no secret in it.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from vidsearch.remote_errors import TALKATIVE, broke_off, code_of, explained
from vidsearch.urls import RemoteError

BLOCK = 4 << 20
"""Bytes that are fetched at once where a file is read here and there; each fetch waits for the
store to answer (benchmarks/results/remote_ways.md)."""
READ = 1 << 17
"""Bytes that one read of a file gives at most that is read here and there."""
_BLOCKS_KEPT = 8

_PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}
# Listings are never kept: others write to the bucket. A store that fails or does not answer is
# asked again by botocore, with growing pauses, half a minute in all; one that is silent ends within
# less than the five minutes after which a cluster takes a file for one that hangs.
_S3 = {
    "use_listings_cache": False,
    "default_cache_type": "none",
    "config_kwargs": {
        "connect_timeout": 5,
        "read_timeout": 30,
        "retries": {"mode": "standard", "max_attempts": 6},
    },
}
_LANCE_RETRIES = "10"  # of Lance's client, which asks for 3 s alone by its own default of 3
_FETCHED = Counter({"bytes": 0})
_BODIES = 3  # times that a part is asked for whose answer breaks off, which botocore does not see
_OPTIONS: dict[str, dict[str, Any]] = {"s3": _S3, "gs": {"use_listings_cache": False}}
_CONDITION_FAILED = ((412, "PreconditionFailed"), (409, "ConditionalRequestConflict"))
_ENVIRONMENT = ("AWS_", "GOOGLE_", "GCLOUD_", "STORAGE_EMULATOR_")


@dataclass(frozen=True)
class Status:
    """What a store says of an object: bytes, seconds since 1970, and its version's tag."""

    st_size: int
    st_mtime: float
    etag: str = ""
    is_folder: bool = False

    @property
    def st_mtime_ns(self) -> int:
        return round(self.st_mtime * 1e9)

    @property
    def st_mode(self) -> int:
        return stat.S_IFDIR if self.is_folder else stat.S_IFREG


@dataclass(frozen=True)
class Versioned:
    """An object's content, its version's tag, and how many seconds ago it was put.

    The age is by the store's own clock, which is the same for everybody.
    """

    content: bytes
    tag: str
    age_s: float


@dataclass(frozen=True, order=True)
class Remote:
    """An object, or what all objects below a prefix have in common, as `pathlib` has a path.

    `url` ends in no slash. `listed` is what a listing said of it, "" where it came from none.
    Every method that asks the store raises OSError: FileNotFoundError, PermissionError, or
    `RemoteError` with a reason.
    """

    url: str
    listed: Status | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.url

    def __fspath__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    @property
    def bucket(self) -> str:
        return self.url.partition("://")[2].partition("/")[0]

    @property
    def key(self) -> str:
        """What follows the bucket; "" for the bucket itself."""
        return self.url.partition("://")[2].partition("/")[2]

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2] or self.bucket

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> Remote:
        return Remote(self.url.rpartition("/")[0]) if self.key else self

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.bucket, *self.key.split("/")) if self.key else (self.bucket,)

    def absolute(self) -> Remote:
        return self

    def as_uri(self) -> str:
        return self.url

    # --- asking ----------------------------------------------------------------------------------

    def stat(self) -> Status:
        """What the store says of it now; a prefix is a folder where there is anything below it."""
        with self._explained():
            return _status(self._fs.info(self._path))

    def exists(self) -> bool:
        """Whether there is an object, or are some below it."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_file(self) -> bool:
        try:
            return not self.stat().is_folder
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        try:
            return self.stat().is_folder
        except FileNotFoundError:
            return False

    def is_symlink(self) -> bool:
        return False

    def iterdir(self) -> Iterator[Remote]:
        """What lies directly below, folders too, by name. Raises FileNotFoundError if nothing."""
        with self._explained():
            found = self._fs.ls(self._path, detail=True)
        yield from sorted(self._of(info) for info in found if info["name"] != self._path)

    def rglob(self, pattern: str) -> Iterator[Remote]:
        """All objects below whose name matches, by key."""
        with self._explained():
            found = self._fs.find(self._path, detail=True)
        each = (self._of(info) for info in found.values())
        yield from sorted(one for one in each if fnmatch(one.name, pattern))

    def matching(self) -> Iterator[Remote]:
        """What this names as a glob: `*`, `?` and `[]` within names, `**` across folders."""
        with self._explained():
            found = self._fs.glob(self._path, detail=True)
        yield from sorted(self._of(info) for info in found.values())

    # --- reading ---------------------------------------------------------------------------------

    def open(self, mode: str = "rb") -> Any:
        """The object for reading in binary, each read a request for exactly what is asked."""
        if mode != "rb":
            raise ValueError(f"objects are opened to be read in binary, not {mode!r}")
        return self.reading(kept=False)

    def reading(self, *, kept: bool = True) -> ObjectFile:
        """The object as an open file; `kept` fetches blocks, and keeps some of them in memory."""
        with self._explained():
            if not kept:
                return ObjectFile(self, self._fs.open(self._path, "rb", cache_type="none"))
            options = {"maxblocks": _BLOCKS_KEPT}
            made = self._fs.open(
                self._path,
                "rb",
                block_size=BLOCK,
                cache_type="blockcache",
                cache_options=options,
            )
            return ObjectFile(self, made, READ)

    def read_bytes(self) -> bytes:
        with self._explained():
            return bytes(self._fs.cat_file(self._path))

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def link(self, seconds: int) -> str:
        """A web address that whoever has it may read this at, for so many seconds: a secret."""
        with self._explained():
            self._fs.info(self._path)  # a link to nothing would only tell the player
            return str(self._fs.sign(self._path, expiration=seconds))

    # --- writing ---------------------------------------------------------------------------------

    def write_bytes(self, content: bytes) -> None:
        """Put the object, by one request: others see what was there before, or all of this."""
        with self._explained():
            self._fs.pipe_file(self._path, content)

    def upload(self, file: os.PathLike[str]) -> None:
        """Put a file of this machine, in parts where it is large: it appears when all are there."""
        with self._explained():
            self._fs.put_file(os.fspath(file), self._path)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        self.write_bytes(text.encode(encoding))

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with self._explained():
                self._fs.rm_file(self._path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, **_: object) -> None:
        """Nothing: a store has no folders. Raises FileNotFoundError where there is no bucket."""
        with self._explained():
            self._fs.info(self.bucket)

    def versioned(self) -> Versioned | None:
        """What the object holds, and which version of it; None where there is none."""
        try:
            with self._explained():
                found = self._conditional("get_object", Bucket=self.bucket, Key=self.key)
                headers = found["ResponseMetadata"]["HTTPHeaders"]
                answered = parsedate_to_datetime(headers["date"])
                age = (answered - found["LastModified"]).total_seconds()
                return Versioned(_body(found, self._fs), str(found["ETag"]), age)
        except FileNotFoundError:
            return None

    def put_if(self, content: bytes, tag: str | None) -> str | None:
        """Put the object if it still is the version `tag`, or, for None, if there is none.

        Gives the new version's tag; None where the condition did not hold.
        """
        condition = {"IfMatch": tag} if tag is not None else {"IfNoneMatch": "*"}
        with self._explained():
            try:
                made = self._conditional(
                    "put_object", Bucket=self.bucket, Key=self.key, Body=content, **condition
                )
            except OSError as error:
                if code_of(error) in _CONDITION_FAILED or isinstance(error, FileExistsError):
                    return None
                raise
            return str(made["ETag"])

    def storage_options(self) -> dict[str, str]:
        """What Lance's own client has to be told, beside what it finds in the environment.

        Endpoint and region are those that AWS's configuration gives, files and profiles included.
        """
        with self._explained():
            self._fs.connect()
            meta = self._fs.s3.meta
        options = {
            "aws_region": str(meta.region_name or "us-east-1"),
            "client_max_retries": _LANCE_RETRIES,
        }
        if not (urlsplit(meta.endpoint_url).hostname or "").endswith((".amazonaws.com", ".aws")):
            options["aws_endpoint"] = meta.endpoint_url
            options["allow_http"] = str(meta.endpoint_url.startswith("http://")).lower()
        return options

    def keeps_versions(self) -> bool:
        """Whether the bucket keeps, or once kept, what is deleted or replaced."""
        with self._explained():
            said = self._conditional("get_bucket_versioning", Bucket=self.bucket)
        return bool(said.get("Status", ""))

    def _conditional(self, call: str, **arguments: Any) -> Any:
        if self.scheme != "s3":
            raise RemoteError(f"an archive cannot be kept on {self.scheme}://, only on s3://")
        return self._fs.call_s3(call, **arguments)

    # --- the engine ------------------------------------------------------------------------------

    @property
    def _path(self) -> str:
        return self.url.partition("://")[2]

    @property
    def _fs(self) -> Any:
        return filesystem(self.scheme)

    def _of(self, info: dict[str, Any]) -> Remote:
        return Remote(f"{self.scheme}://{info['name']}", _status(info))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with explained(self.url):
            yield


class ObjectFile:
    """An object that is open for reading, at a position; what PyAV wants of a file.

    `failure` is why the last read failed: a demuxer may take a failed read for the end. One read
    gives `most` bytes at most, fewer than asked for: FFmpeg may ask for 16 MiB ahead, and takes
    what it gets.
    """

    def __init__(self, place: Remote, file: Any, most: int = sys.maxsize) -> None:
        self.name = place.url
        self.failure: OSError | None = None
        self._file = file
        self._most = most
        file.cache.fetcher = _patient(file.cache.fetcher)

    def read(self, size: int = -1) -> bytes:
        if self.failure is not None:  # demuxers read on behind what they take for damage
            raise self.failure
        try:
            with explained(self.name):
                return bytes(self._file.read(min(size, self._most)))
        except OSError as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> ObjectFile:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


def _patient(fetch: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    """Ask again for a part whose answer breaks off, and count what has come."""

    def part(start: int, end: int) -> bytes:
        for left in reversed(range(_BODIES)):
            try:
                came = fetch(start, end)
            except Exception as error:
                if not left or not broke_off(error):
                    raise
            else:
                _FETCHED["bytes"] += len(came)
                return came
        raise AssertionError("unreachable")

    return part


def bytes_fetched() -> int:
    """Bytes of videos that this process was sent so far: what grows while a slow store sends."""
    return _FETCHED["bytes"]


def filesystem(scheme: str) -> Any:
    """The fsspec file system of a store, as the environment has it now.

    Raises `RemoteError` where its package is not installed.
    """
    environment = tuple(sorted(e for e in os.environ.items() if e[0].startswith(_ENVIRONMENT)))
    return _made(scheme, os.getpid(), hash(environment))


@lru_cache(maxsize=16)
def _made(scheme: str, pid: int, environment: int) -> Any:
    """One for each process and environment: neither outlives a fork or another endpoint."""
    package, extra = _PACKAGES[scheme]
    if scheme == "gs":  # it would ask of each bucket, at each call, whether it is of a new kind
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        import fsspec

        __import__(package)
    except ImportError:
        raise RemoteError(
            f"{scheme}:// needs {package}, which comes with: pip install 'vidsearch[{extra}]'"
        ) from None
    for name in TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            # gcsfs logs what it then raises, with a traceback: it is told once, by who asked.
            logger.setLevel(logging.CRITICAL if name == "gcsfs" else logging.INFO)
    with explained(f"{scheme}://"):
        made = fsspec.filesystem(scheme, skip_instance_cache=True, **_OPTIONS[scheme])
    if scheme == "s3":
        # It would ask five times five times again what botocore gave up, for an hour and more.
        made.retries = 1
    return made


def _body(found: dict[str, Any], fs: Any) -> bytes:
    """The body of an answer that s3fs gives as it came."""
    from fsspec.asyn import sync

    async def read() -> bytes:
        async with found["Body"] as body:
            return bytes(await body.read())

    return bytes(sync(fs.loop, read))


def _status(info: dict[str, Any]) -> Status:
    if info["type"] == "directory":
        return Status(0, 0.0, is_folder=True)
    when = info.get("LastModified") or info.get("mtime") or info.get("updated") or 0.0
    tag = str(info.get("ETag") or info.get("etag") or info.get("generation") or "")
    return Status(int(info["size"]), _seconds(when), tag)


def _seconds(when: Any) -> float:
    if isinstance(when, str):
        import datetime

        when = datetime.datetime.fromisoformat(when.replace("Z", "+00:00"))
    return float(when.timestamp() if hasattr(when, "timestamp") else when)
