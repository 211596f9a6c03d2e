"""The bundle of a revision as model.tar.gz in S3, for places that want it there; the image holds the same bundle, and serves no other."""

import gzip
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from deployments.sagemaker_clients import answered, code_of
from deployments.target import Revision
from headgate.errors import BadBundle
from headgate.model.bundle import open_bundle


def archive_address(models: str, revision: Revision) -> str:
    """Where a bundle lies under s3://bucket/prefix."""
    return f"{models}/{revision.bundle_digest}.tar.gz"


def put_archive(s3: Any, address: str, revision: Revision) -> None:
    """Put the bundle there unless something is; BadBundle if the revision's folder holds another bundle."""
    bucket, key = urlsplit(address).netloc, urlsplit(address).path.lstrip("/")
    if not _there(s3, bucket, key):
        folder = Path(revision.bundle)
        if (found := open_bundle(folder).digest) != revision.bundle_digest:
            raise BadBundle(f"release {revision.release[:12]}: expected bundle {revision.bundle_digest}, found {found} in {folder}")
        with tempfile.TemporaryFile() as file:
            pack(folder, file)
            _put(s3, bucket, key, file)


def pack(folder: Path, file: IO[bytes]) -> None:
    """The files of a folder as .tar.gz, the same bytes for the same files; the file stands at its beginning then."""
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            about = tarfile.TarInfo(path.relative_to(folder).as_posix())
            about.size, about.mode = path.stat().st_size, 0o644
            with path.open("rb") as opened:
                archive.addfile(about, opened)
    file.seek(0)


def _there(s3: Any, bucket: str, key: str) -> bool:
    from botocore.exceptions import ClientError

    with answered(f"s3://{bucket}/{key}"):
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except ClientError as fault:
            if code_of(fault) not in ("404", "NoSuchKey", "NotFound"):
                raise
            return False
    return True


def _put(s3: Any, bucket: str, key: str, file: IO[bytes]) -> None:
    """Once: whoever was faster put the same bytes."""
    from botocore.exceptions import ClientError

    with answered(f"s3://{bucket}/{key}"):
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=file, IfNoneMatch="*")
        except ClientError as fault:
            if code_of(fault) not in ("PreconditionFailed", "412"):
                raise
