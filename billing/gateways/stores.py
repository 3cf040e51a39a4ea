"""Where files are delivered: a directory, S3-compatible storage (the extra ``s3``), or SFTP (the extra ``sftp``).

A file is there whole or not at all, and putting it there again under the same name replaces it.
"""

import os
import posixpath
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings

if TYPE_CHECKING:
    import paramiko

TIMEOUT_SECONDS = 30
PACKAGES = {"s3": "boto3>=1.40", "sftp": "paramiko>=5"}
"""What each way needs beyond what is installed: the extra of that name."""


class Undelivered(Exception):
    """The file could not be put where it belongs; the words are for whoever runs this."""


class Store(Protocol):
    def put(self, name: str, body: IO[bytes]) -> None:
        """Put the file there under this path. Not in a transaction. Raises ``Undelivered``."""


def wrong(address: str) -> str:
    """What of the address, as in ``EXPORT_TO``, cannot be; empty where nothing is."""
    found = urlsplit(address)
    if found.scheme not in {"file", "s3", "sftp"}:
        return "It begins with file://, s3:// or sftp://."
    if found.scheme == "file":
        return "" if found.path.startswith("/") and not found.netloc else "A directory is named as file:///srv/exports."
    if not found.hostname:
        return "It names no bucket or host."
    package = PACKAGES[found.scheme]
    if find_spec(package.partition(">=")[0]) is None:
        return f"It needs a package (the extra {found.scheme}): pip install '{package}'."
    if found.scheme == "sftp" and not settings.EXPORT_SFTP_KNOWN_HOSTS:
        return "EXPORT_SFTP_KNOWN_HOSTS must name a file with the host's key."
    return ""


def open_store(address: str) -> Store:
    """The store of that address. Raises ``Undelivered`` where it cannot be one."""
    if words := wrong(address):
        raise Undelivered(f"EXPORT_TO: {words}")
    found = urlsplit(address)
    match found.scheme:
        case "file":
            return Directory(Path(unquote(found.path)))
        case "s3":
            return Bucket(found.netloc, found.path.strip("/"))
        case _:
            return Sftp(found)


@dataclass(frozen=True, slots=True)
class Directory:
    root: Path

    def put(self, name: str, body: IO[bytes]) -> None:
        path = self.root / name
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                shutil.copyfileobj(body, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise Undelivered(f"{path}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class Bucket:
    """Keys, region and endpoint come from the environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL_S3``, …)."""

    name: str
    prefix: str

    def put(self, name: str, body: IO[bytes]) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        limits = Config(
            connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 2}
        )
        try:
            client = boto3.client("s3", config=limits)
            client.upload_fileobj(body, self.name, posixpath.join(self.prefix, name))
        except (BotoCoreError, ClientError, boto3.exceptions.Boto3Error) as error:
            raise Undelivered(str(error)) from error


@dataclass(frozen=True, slots=True)
class Sftp:
    """The host must be in the file of known hosts; who signs in does so with a key file or a password."""

    address: SplitResult

    def put(self, name: str, body: IO[bytes]) -> None:
        path = posixpath.join(unquote(self.address.path) or "/", name)
        part = f"{path}.part"
        with self._connected() as sftp:
            self._make_directories(sftp, posixpath.dirname(path))
            sftp.putfo(body, part)
            sftp.posix_rename(part, path)

    @contextmanager
    def _connected(self) -> Iterator["paramiko.SFTPClient"]:
        import paramiko

        # A host that is not in the file of known hosts is refused: the client's own default.
        client = paramiko.SSHClient()
        try:
            client.load_host_keys(settings.EXPORT_SFTP_KNOWN_HOSTS)
            client.connect(
                self.address.hostname or "",
                port=self.address.port or 22,
                username=unquote(self.address.username or "") or None,
                password=settings.EXPORT_SFTP_PASSWORD or None,
                key_filename=settings.EXPORT_SFTP_KEY_FILE or None,
                look_for_keys=False,
                allow_agent=False,
                timeout=TIMEOUT_SECONDS,
                banner_timeout=TIMEOUT_SECONDS,
                auth_timeout=TIMEOUT_SECONDS,
            )
            with client.open_sftp() as sftp:
                channel = sftp.get_channel()
                assert channel is not None
                channel.settimeout(TIMEOUT_SECONDS)
                yield sftp
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Undelivered(f"{self.address.hostname}: {error or type(error).__name__}") from error
        finally:
            client.close()

    @staticmethod
    def _make_directories(sftp: "paramiko.SFTPClient", path: str) -> None:
        made = ""
        for part in path.split("/")[1:]:
            made = f"{made}/{part}"
            try:
                sftp.stat(made)
            except FileNotFoundError:
                sftp.mkdir(made)
