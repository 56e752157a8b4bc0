"""Where files live, and that nothing but leftovers of one file is taken for such."""

from pathlib import Path

import platformdirs

from occhand.files import atomic_path, cache_dir, remove_leftovers


def test_the_cache_is_where_the_variable_says_else_the_platforms(tmp_path, monkeypatch):
    assert cache_dir() == tmp_path / "cache"
    for unset in (lambda: monkeypatch.setenv("OCCHAND_CACHE", ""), lambda: monkeypatch.delenv("OCCHAND_CACHE")):
        unset()
        assert cache_dir() == Path(platformdirs.user_cache_dir("occhand"))


def test_leftovers_of_a_file_are_removed_and_nothing_else(tmp_path):
    with atomic_path(tmp_path / "last.ckpt") as temporary:
        left = temporary.name
    (tmp_path / "last.ckpt").unlink()
    others = {".last-mine.json", ".lasting.ckpt", "last-1.ckpt", ".first-12345678.ckpt"}
    for name in (left, *others):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "last.ckpt")
    assert {path.name for path in tmp_path.iterdir()} == others
