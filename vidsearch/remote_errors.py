"""What the engines of object stores raise, as an OSError with a reason and no secret in it."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from vidsearch.urls import RemoteError, without_secrets

# They write requests with what signs them where somebody logs everything.
TALKATIVE = ("botocore", "aiobotocore", "boto3", "google", "urllib3", "gcsfs", "s3fs", "aiohttp")
_ENGINES = (*TALKATIVE, "fsspec", "requests", "asyncio", "ssl")

_NO_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
}
_WITH_A_KEY = "set GOOGLE_APPLICATION_CREDENTIALS to the file of one"
_BREAKS = {
    "ClientPayloadError",
    "ResponseStreamingError",
    "IncompleteReadError",
    "AioReadTimeoutError",  # of a body; of an answer that never begins it is botocore's own
}
_NO_ANSWER = {
    "s3": "check the network, AWS_ENDPOINT_URL and the region",
    "gs": "check the network",
}
LATER = ": run this again later"


@contextmanager
def explained(url: str) -> Iterator[None]:
    """What an engine raises, as an OSError that says what happened and holds no secret."""
    try:
        yield
    except (RemoteError, MemoryError):
        raise
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "does not exist", url) from None
    except PermissionError:
        raise PermissionError(errno.EACCES, "no permission", url) from None
    except Exception as error:
        if str(error).startswith("Forbidden: "):  # as gcsfs says it, in an OSError
            raise PermissionError(errno.EACCES, "no permission", url) from None
        if isinstance(error, OSError) or _of_an_engine(error):
            raise RemoteError(_reason(url.partition("://")[0], error)) from None
        raise


def _of_an_engine(error: BaseException) -> bool:
    """Whether an engine has made it, or let it through: gcsfs raises ValueError too."""
    frames = traceback.walk_tb(error.__traceback__)
    modules = [type(error).__module__, *(f.f_globals.get("__name__", "") for f, _ in frames)]
    return any(module.partition(".")[0] in _ENGINES for module in modules)


def _reason(scheme: str, error: BaseException) -> str:
    kinds = {type(each).__name__ for each in _chain(error)}
    if kinds & {
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "DefaultCredentialsError",
        "CredentialRetrievalError",
        "RefreshError",
        "TokenRetrievalError",
    }:
        return f"no credentials were found for it: {_NO_CREDENTIALS[scheme]}"
    code = code_of(error)
    if code and code[0] == 401:
        return f"the store wants credentials, or others: {_NO_CREDENTIALS[scheme]}"
    if code and (code[0] >= 500 or code[0] == 429):
        what = " ".join(filter(None, map(str, code)))
        return f"the store failed again and again ({what}){LATER}"
    if "private key to sign" in str(error):
        return f"a link to it can be signed with a service account's key alone: {_WITH_A_KEY}"
    if kinds & _BREAKS:
        return f"the store's answers break off: {_NO_ANSWER[scheme]}"
    if any("Timeout" in kind or "Connect" in kind for kind in kinds):
        return f"the store does not answer: {_NO_ANSWER[scheme]}"
    said = (str(error).strip().splitlines() or [""])[0]
    return without_secrets(f"{said or type(error).__name__}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def broke_off(error: BaseException) -> bool:
    """Whether an answer had begun to come and did not come to its end."""
    return bool({type(each).__name__ for each in _chain(error)} & _BREAKS)


def code_of(error: BaseException) -> tuple[int, str] | None:
    """The HTTP status, and what the store calls it, that an error stands for."""
    for each in _chain(error):
        answer = getattr(each, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return int(status), str(answer.get("Error", {}).get("Code", ""))
        code = getattr(each, "code", None)
        if isinstance(code, int):
            return code, ""
    return None
