"""Samples from a folder of shards."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from torch.utils.data import Dataset

from occhand.data.record import DataError, decode_sample
from occhand.data.shards import Member, check_shard, index_shard, read_manifest, read_members
from occhand.types import HandSample


class FolderDataset(Dataset[HandSample]):
    """What `occhand synth` wrote, or anything in the same format: random access, iteration, any number of loader workers.

    A folder whose run was cut short gives the samples of its finished shards.

    Args:
        root: The folder with `manifest.json`.
        is_sparse: Leave meshes, depth and labels out, see `decode_sample`.

    Raises:
        DataError: No manifest, a broken one, a shard that is missing or of another length. Broken samples raise it when they are read.
    """

    def __init__(self, root: str | os.PathLike[str], is_sparse: bool = False) -> None:
        self.root, self.is_sparse = Path(root), is_sparse
        self.manifest = read_manifest(self.root)
        if not self.manifest.shards:
            raise DataError(f"No finished shard in {self.root}. Run the command that made the folder again.")
        for shard in self.manifest.shards:
            check_shard(self.root, shard, by_content=False)
        self._ends = list(accumulate(shard.samples for shard in self.manifest.shards))
        self._indices: dict[int, list[tuple[str, dict[str, Member]]]] = {}

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> HandSample:
        """The sample at a place, in the order of the shards; negative places count from the end."""
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"Sample {index} of {len(self)}.")
        number = bisect_right(self._ends, place)
        start = self._ends[number - 1] if number else 0
        key, members = self._index_of(number)[place - start]
        path = self.root / self.manifest.shards[number].name
        if self.is_sparse:
            members = {suffix: member for suffix, member in members.items() if suffix != "npz"}
        return decode_sample(key, read_members(path, members), self.is_sparse)

    def __iter__(self) -> Iterator[HandSample]:
        return (self[index] for index in range(len(self)))

    def __str__(self) -> str:
        manifest = self.manifest
        return f"{manifest.split or self.root.name} ({manifest.generator}, seed {manifest.seed}, {len(self)} of {manifest.n} samples)"

    def verify(self) -> None:
        """Compare every shard with its checksum.

        Raises:
            DataError: A shard was changed.
        """
        for shard in self.manifest.shards:
            check_shard(self.root, shard, by_content=True)

    def _index_of(self, number: int) -> list[tuple[str, dict[str, Member]]]:
        """Where the samples of a shard lie; read when first asked for, since a large set has thousands of shards."""
        if number not in self._indices:
            shard = self.manifest.shards[number]
            found = list(index_shard(self.root / shard.name).items())
            if len(found) != shard.samples:
                raise DataError(
                    f"Shard {self.root / shard.name} holds {len(found)} samples, the manifest says {shard.samples}. Make or copy it again."
                )
            self._indices[number] = found
        return self._indices[number]
