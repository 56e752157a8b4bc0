"""Shards: plain tar files that hold the files of one sample after the other (as WebDataset reads them), and the manifest beside them.

The same samples give the same bytes: tar headers carry no time, user or machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from occhand.broken_files import BROKEN_JSON
from occhand.data.record import MAX_MEMBER_BYTES, SCHEMA_VERSION, DataError
from occhand.files import atomic_path

MANIFEST = "manifest.json"

_KEY = re.compile(r"[A-Za-z0-9_-]{1,200}")
_SHARD_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}\.tar")
_SUFFIXES = ("png", "jpg", "json", "npz")
_TAR_END_BYTES = 1024
_MAX_MANIFEST_BYTES = 1 << 26


@dataclass(frozen=True)
class Shard:
    """One finished tar file."""

    name: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds, or is going to hold. A run that is resumed must agree in all but `shards`."""

    generator: str
    """Who made the samples, with its version."""
    split: str
    """Empty for one without a name."""
    seed: int
    n: int
    """Samples when complete."""
    size: int
    """Side of the pictures, pixels."""
    jpeg_quality: int | None
    """None: the pictures are PNG, without loss."""
    shard_samples: int
    """Per shard; the last may hold fewer."""
    shards: tuple[Shard, ...] = ()
    """The finished ones, in order."""
    schema: int = SCHEMA_VERSION

    @property
    def is_complete(self) -> bool:
        """Whether all samples are there."""
        return sum(shard.samples for shard in self.shards) == self.n


class Member(NamedTuple):
    """Where one file lies in a shard."""

    offset: int
    size: int


def write_shard(path: Path, samples: Iterable[tuple[str, Mapping[str, bytes]]]) -> Shard:
    """Write encoded samples, in order, to a tar file that appears whole or not at all.

    Args:
        path: `<name>.tar`.
        samples: Key and files by suffix of each (see `occhand.data.record.encode_sample`).

    Raises:
        ValueError: A key that is no plain name, or two samples with one key.
        OSError: The file cannot be written.
    """
    keys: set[str] = set()
    with atomic_path(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
            for key, files in samples:
                if not _KEY.fullmatch(key) or key in keys:
                    raise ValueError(f"Sample key {key!r} is used twice, or is not made of letters, digits, - and _ alone.")
                keys.add(key)
                for suffix, data in files.items():
                    member = tarfile.TarInfo(f"{key}.{suffix}")  # no time, no user: a TarInfo's own defaults
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        return Shard(path.name, len(keys), temporary.stat().st_size, sha256_of(temporary))


def index_shard(path: Path) -> dict[str, dict[str, Member]]:
    """Where each sample's files lie in a shard, by key and suffix, in the order of the shard.

    Raises:
        DataError: Missing, truncated, no tar file, or with members that no shard of ours has.
    """
    samples: dict[str, dict[str, Member]] = {}
    try:
        end, used = path.stat().st_size, 0
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                key, _, suffix = member.name.partition(".")
                is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.size <= MAX_MEMBER_BYTES
                if not is_plain or not _KEY.fullmatch(key) or suffix not in _SUFFIXES or suffix in samples.get(key, {}):
                    raise DataError(f"Shard {path} holds {member.name[:100]!r}, no file of a sample. Make or copy the shard again.")
                samples.setdefault(key, {})[suffix] = Member(member.offset_data, member.size)
                used = member.offset_data + member.size
        if end < used + _TAR_END_BYTES:  # tarfile takes a file cut between two members for a whole one
            raise DataError(f"Shard is truncated: {path} has {end} bytes and no end mark. Make or copy it again.")
    except FileNotFoundError:
        raise DataError(f"Shard is missing: {path}. Run the command that made the folder again, or copy the shard again.") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"Shard cannot be read: {path} ({error}). Make or copy it again.") from None
    return samples


def read_members(path: Path, members: Mapping[str, Member]) -> dict[str, bytes]:
    """The files of one sample by suffix.

    Raises:
        DataError: The shard ends before they do, or is gone.
    """
    files = {}
    try:
        with path.open("rb") as stream:
            for suffix, (offset, size) in members.items():
                stream.seek(offset)
                files[suffix] = stream.read(size)
                if len(files[suffix]) < size:
                    raise DataError(f"Shard is truncated: {path}. Make or copy it again.")
    except OSError as error:
        raise DataError(f"Shard cannot be read: {path} ({error.strerror}). Make or copy it again.") from None
    return files


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_shard(folder: Path, shard: Shard, by_content: bool) -> None:
    """Whether a shard is there as the manifest has it.

    Args:
        folder: Where it lies.
        shard: Its line in the manifest.
        by_content: Compare the bytes too, not the length alone.

    Raises:
        DataError: Missing, of another length, or other bytes.
    """
    path = folder / shard.name
    again = "Run the command that made the folder again, or copy the shard again."
    if not path.is_file():
        raise DataError(f"Shard is missing: {path}. {again}")
    found = path.stat().st_size
    if found != shard.bytes:
        raise DataError(f"Shard is truncated or changed: {path} has {found} bytes, the manifest says {shard.bytes}. {again}")
    if by_content and sha256_of(path) != shard.sha256:
        raise DataError(f"Shard is changed: {path} has another checksum than in the manifest. {again}")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`; it appears whole or the old one stays."""
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(asdict(manifest), indent=1) + "\n")


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of a folder of shards.

    Raises:
        DataError: No folder, no manifest in it, or one that is broken or of another schema.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise DataError(f"No {MANIFEST} in {folder}. Expected a folder that 'occhand synth' wrote.")
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise ValueError("too large")
        content = json.loads(path.read_text())
        if content["schema"] != SCHEMA_VERSION:
            schema = str(content["schema"])[:20]
            raise DataError(f"{path} has schema {schema}, this version reads {SCHEMA_VERSION}. Make the data again with 'occhand synth'.")
        manifest = Manifest(**(content | {"shards": tuple(Shard(**shard) for shard in content["shards"])}))
        _check(manifest)
    except DataError:
        raise
    except BROKEN_JSON as error:
        reason = " ".join(str(error).split())
        raise DataError(f"Manifest is broken: {path} ({reason}). Copy it again, or make the data again with 'occhand synth'.") from None
    return manifest


def _check(manifest: Manifest) -> None:
    counts = [manifest.seed, manifest.n, manifest.size, manifest.shard_samples]
    counts += [count for shard in manifest.shards for count in (shard.samples, shard.bytes)]
    if (
        not all(isinstance(count, int) and count >= 0 for count in counts)
        or not isinstance(manifest.generator, str)
        or not isinstance(manifest.split, str)
    ):
        raise ValueError("a count that is no whole number, or a name that is no text")
    names = [shard.name for shard in manifest.shards]
    if not all(isinstance(name, str) and _SHARD_NAME.fullmatch(name) for name in names) or len(set(names)) < len(names):
        raise ValueError("a shard's name that is no plain file name, or one twice")
