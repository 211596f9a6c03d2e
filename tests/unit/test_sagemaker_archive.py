import io
import tarfile
from pathlib import Path

from deployments.sagemaker_archive import archive_address, pack
from deployments.target import Revision


def test_the_same_files_are_the_same_archive_with_the_bundles_list_on_top(tmp_path: Path) -> None:
    archives = []
    for place in ("one", "other"):
        folder = tmp_path / place
        (folder / "wheels").mkdir(parents=True)
        (folder / "wheels" / "a.whl").write_bytes(b"wheel")
        (folder / "bundle.json").write_text("{}")
        pack(folder, file := io.BytesIO())
        archives.append(file.read())
    assert archives[0] == archives[1]
    with tarfile.open(fileobj=io.BytesIO(archives[0])) as archive:
        assert archive.getnames() == ["bundle.json", "wheels/a.whl"]
        assert {one.mtime for one in archive} == {0}


def test_an_archive_lies_under_the_digest_of_its_bundle() -> None:
    revision = Revision(release="r1", bundle_digest="b" * 64, bundle="out")
    assert archive_address("s3://bucket/models", revision) == f"s3://bucket/models/{'b' * 64}.tar.gz"
