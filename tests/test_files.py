"""Which files a path, a folder or a glob names."""

import os

import pytest

from sgns_jax.files import source_files
from sgns_jax.text import check_files, open_source
from sgns_jax.types import InputError


def names(source, root) -> list[str]:
    return [str(file.relative_to(root)) for file in source_files(str(source))]


def write(root, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def test_folder_is_read_by_name_without_hidden_files(tmp_path):
    write(tmp_path, "2", "10", "b", "a/z", "a/b/c", "1", ".hidden", ".git/x", "a/.y")
    assert names(tmp_path, tmp_path) == ["1", "10", "2", "a/b/c", "a/z", "b"]
    assert b"".join(open_source(str(tmp_path))) == b"1\n10\n2\na/b/c\na/z\nb\n"
    assert check_files(source_files(str(tmp_path))) == 19


def test_links_are_followed_each_real_folder_once(tmp_path):
    root = tmp_path / "corpus"
    write(tmp_path, "store/2021/x", "store/y", "corpus/part", "corpus/sub/z")
    (root / "2021").symlink_to("../store/2021")
    (root / "again").symlink_to("../store")  # holds 2021, too
    (root / "file").symlink_to("../store/y")
    (root / "sub/loop").symlink_to("..")
    (root / ".hidden").symlink_to("../store")
    want = ["2021/x", "again/y", "file", "part", "sub/z"]
    assert names(root, root) == want
    (tmp_path / "link").symlink_to("corpus")
    assert names(tmp_path / "link", tmp_path / "link") == want


def test_a_glob_takes_each_real_folder_once(tmp_path):
    write(tmp_path, "a/x.txt", "b/y.txt")
    (tmp_path / "a/loop").symlink_to("../a")
    (tmp_path / "c").symlink_to("b")
    assert names(tmp_path / "**/*.txt", tmp_path) == ["a/x.txt", "b/y.txt"]
    assert names(tmp_path / "*/*.txt", tmp_path) == ["a/x.txt", "b/y.txt"]
    assert names(tmp_path / "c/*.txt", tmp_path) == ["c/y.txt"]


@pytest.mark.parametrize("target", ["gone", "link"])
@pytest.mark.parametrize("source", ["", "link", "*"])
def test_a_link_to_nothing_is_named(tmp_path, target, source):
    """A target that is not there; itself."""
    (tmp_path / "text").write_text("text")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(InputError, match=f"/link is a link to {target}, which is not"):
        source_files(f"{tmp_path}/{source}")


def test_a_folder_that_cannot_be_read_is_not_left_out(tmp_path, monkeypatch):
    write(tmp_path, "text", "shut/x")
    scandir = os.scandir

    def refusing(path):  # as the system does, except to root
        if os.fspath(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match="cannot read the folder .*shut: Permission"):
        source_files(str(tmp_path))


def test_glob(tmp_path):
    write(tmp_path, "b.txt", "a.txt", "c.md", "sub/d.txt")
    assert names(f"{tmp_path}/*.txt", tmp_path) == ["a.txt", "b.txt"]
    assert len(source_files(f"{tmp_path}/**/*.txt")) == 3
    (tmp_path / "[b].txt").write_text("a file's own name is not a pattern")
    assert names(f"{tmp_path}/[b].txt", tmp_path) == ["[b].txt"]


def test_no_file(tmp_path):
    for missing in (tmp_path / "missing", tmp_path / "*.txt", tmp_path):
        with pytest.raises(InputError, match="names no file; give a text file"):
            source_files(str(missing))
