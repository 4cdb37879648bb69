"""Files by path or address: local ones, and objects of a store (s3://, gs://, memory://, http:// ...) through fsspec.

Knows neither media nor runs. Whoever takes a path from a user passes it through `place`; what comes back is a Path
either way. fsspec is imported with the first address that is used.
"""

from .addresses import place
from .errors import StorageError
from .fetching import local_file, readable
from .remote import RemotePath, is_remote

__all__ = ["RemotePath", "StorageError", "is_remote", "local_file", "place", "readable"]
