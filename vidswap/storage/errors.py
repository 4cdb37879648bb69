"""What goes wrong with a store, in one line: what, where, and what to do."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from vidswap.graph.errors import VidswapError

# Classes of botocore, aiohttp, gcsfs and requests, told by name: none of them is imported for this.
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound", "RefreshError"}
)
_UNREACHABLE = frozenset(
    {
        *("EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError", "ReadTimeoutError"),
        *("ClientConnectorError", "ClientConnectorDNSError", "ServerTimeoutError", "ServerDisconnectedError"),
        *("FSTimeoutError", "ConnectionRefusedError", "ConnectionResetError", "TimeoutError", "gaierror"),
        *("ConnectionError", "ConnectionTimeoutError", "InvalidURL", "NonHttpUrlClientError", "ClientOSError"),
    }
)
_REFUSED = frozenset({"ClientResponseError"})
_CHANGED = frozenset({"FileExpired"})
EXTRAS = {"s3": "s3fs: pip install 'vidswap[s3]'", "s3a": "s3fs: pip install 'vidswap[s3]'"}
EXTRAS |= {"gs": "gcsfs: pip install gcsfs", "gcs": "gcsfs: pip install gcsfs"}
_ENDPOINT = {"s3": "the network and AWS_ENDPOINT_URL", "s3a": "the network and AWS_ENDPOINT_URL"}
_KEYS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login",
}
_KEYS |= {"s3a": _KEYS["s3"], "gcs": _KEYS["gs"]}


class StorageError(VidswapError):
    """A store cannot be used as asked: no access, no answer, no room. Exit code 2.

    No InputError, because those are taken for a verdict on a file's content where files are opened again; what a store
    does not give must never be taken for damage to a video.
    """

    exit_code = 2


@contextlib.contextmanager
def telling(address: str) -> Iterator[None]:
    """Turn whatever a store raises into a StorageError of one line. FileNotFoundError stays, with the address."""
    try:
        yield
    except VidswapError:
        raise
    except FileNotFoundError as error:
        # Over HTTP whatever goes wrong is told as a file that is not there.
        if getattr(error.__cause__, "status", 0) != 404 and _names(error.__cause__) & (_UNREACHABLE | _REFUSED):
            raise StorageError(f"{address}: {_why(error.__cause__ or error, address)}") from error
        raise FileNotFoundError(errno.ENOENT, _said(error) or "no such object", address) from error
    except Exception as error:
        raise StorageError(f"{address}: {_why(error, address)}") from error


def is_final(error: BaseException) -> bool:
    """Whether trying again is of no use."""
    names = _names(error)
    return isinstance(error, (ImportError, FileNotFoundError, PermissionError)) or bool(
        names & (_NO_CREDENTIALS | _CHANGED)
    )


def _why(error: BaseException, address: str) -> str:
    protocol = address.partition("://")[0]
    names, said = _names(error), _said(error)
    if isinstance(error, ImportError):
        return f"{protocol}:// needs {EXTRAS.get(protocol, f'a package that is not installed ({said})')}"
    if names & _NO_CREDENTIALS:
        return f"no credentials ({said}); {_KEYS.get(protocol, 'give them as the store asks for')}"
    if isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403):
        return f"access denied ({said or 'by the store'}); check the credentials and what they may do"
    if names & _CHANGED:
        return "was replaced while it was read; start the run again"
    if isinstance(error, ValueError) and "rotocol not known" in said:
        return f"{protocol}:// is no protocol that fsspec knows; s3, gs, http, https, file and memory are usual"
    if names & _UNREACHABLE or isinstance(error, (socket.gaierror, ConnectionError, TimeoutError)):
        return f"the store cannot be reached ({said}); check {_ENDPOINT.get(protocol, 'the address and the network')}"
    return f"the store says: {said or type(error).__name__}"


def _names(error: BaseException | None) -> set[str]:
    """Class names of an error, its bases and its causes."""
    names: set[str] = set()
    for _ in range(8):
        if error is None:
            break
        names |= {c.__name__ for c in type(error).__mro__}
        error = error.__cause__ or error.__context__
    return names


def _said(error: BaseException) -> str:
    text = str(error.args[1]) if isinstance(error, OSError) and len(error.args) > 1 else str(error)
    return (text.strip().splitlines() or [""])[0][:200]
