"""The built-in corpora, made from small files and a server on this machine."""

import functools
import hashlib
import http.server
import io
import logging
import threading
import zipfile

import pytest

from sgns_jax import builtin_corpora
from sgns_jax.builtin_corpora import cache_folder, pydoc_file, read_prose, text8_file
from sgns_jax.corpus import load_corpus
from sgns_jax.types import InputError

MODULE = '''
"""A module about cats that sleep all day.

Parameters of cats
------------------
Cats sleep on the mat,
and it's the "Mat" that pays.

>>> import cats and some more words here
a line that is output and no prose

x = f(y) + 2 * [1, 2, 3] ** 4 / (5 - 6)

Short heading
"""

def sleep():
    """Sleeps for as long as
    the\\dcat wants to.
    """
    raise ValueError("a cat must sleep at least an hour")
'''


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SGNS_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of one module, and no packages."""
    library = tmp_path / "library"
    (library / "site-packages").mkdir(parents=True)
    (library / "cats.py").write_text(MODULE)
    (library / "again.py").write_text(MODULE)
    (library / "broken.py").write_text("def ('this has five words but no meaning'")
    (library / "site-packages" / "x.py").write_text("'a b c d e f g'")
    monkeypatch.setattr(builtin_corpora, "PACKAGES", {})
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(library))
    return library


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/cat")
    monkeypatch.setenv("SGNS_JAX_CACHE", "~/here")  # as no shell has read it
    assert str(cache_folder()) == "/home/cat/here"
    monkeypatch.setenv("SGNS_JAX_CACHE", "/here")
    assert str(cache_folder()) == "/here"
    monkeypatch.delenv("SGNS_JAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert str(cache_folder()) == "/there/sgns_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert str(cache_folder()) == "/home/cat/.cache/sgns_jax"


def test_prose_is_read_without_code_headings_and_repeats(library, caplog):
    caplog.set_level(logging.INFO)
    assert read_prose([library]) == [
        "A module about cats that sleep all day.",
        'Cats sleep on the mat, and it\'s the "Mat" that pays.',
        "Sleeps for as long as the\\dcat wants to.",
        "a cat must sleep at least an hour",
    ]
    assert "1 of 3 Python files do not parse" in caplog.text


def test_pydoc_is_made_once_for_each_set_of_versions(library, monkeypatch):
    calls = []
    path = pydoc_file(lambda done, total: calls.append((done, total)))
    assert path.read_text().splitlines() == [
        "a module about cats that sleep all day",
        "cats sleep on the mat and it's the mat that pays",
        "sleeps for as long as the dcat wants to",
        "a cat must sleep at least an hour",
    ]
    assert calls[-1][0] == calls[-1][1] > 2 * len(MODULE)
    (library / "cats.py").unlink()
    before = path.stat().st_mtime_ns
    assert pydoc_file() == path and path.stat().st_mtime_ns == before
    monkeypatch.setattr(
        builtin_corpora, "PACKAGES", {"absl": "absl-py", "no_such": "no-such-package"}
    )
    assert pydoc_file() != path


def test_built_in_names_are_corpora(library, tmp_path):
    loaded = load_corpus("pydoc", tmp_path / "work", min_count=2)
    assert loaded.vocabulary.words[:2] == ("sleep", "the")
    assert loaded.sentences == 4


@pytest.fixture
def server(tmp_path):
    """Serves a small text8.zip; yields its address, checksum, and the requests."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("text8", " anarchism originated as a term")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "text8.zip").write_bytes(packed.getvalue())
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=tmp_path / "web")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{httpd.server_port}/text8.zip"
        yield url, hashlib.sha256(packed.getvalue()).hexdigest(), requests
        httpd.shutdown()
        thread.join()


def test_text8_is_downloaded_once(server, cache):
    url, sha256, requests = server
    calls = []
    path = text8_file(lambda done, total: calls.append((done, total)), url, sha256)
    assert path.read_text() == " anarchism originated as a term"
    assert calls[-1][0] == calls[-1][1] > 0
    assert text8_file(None, url, sha256) == path
    assert len(requests) == 1
    assert list(cache.iterdir()) == [path]


def test_text8_with_another_checksum_is_removed(server, cache):
    url, _, _ = server
    with pytest.raises(InputError, match="has sha256 .* and was removed"):
        text8_file(None, url)
    assert list(cache.iterdir()) == []


def test_text8_without_network(server, cache, tmp_path):
    url, sha256, _ = server
    unreachable = "http://127.0.0.1:9/text8.zip"
    place = cache / "text8.zip"
    with pytest.raises(InputError, match=f"cannot download {unreachable}.*at {place}"):
        text8_file(None, unreachable, sha256)
    assert list(cache.iterdir()) == []
    # Following the message helps.
    place.write_bytes((tmp_path / "web" / "text8.zip").read_bytes())
    assert text8_file(None, unreachable, sha256).exists()


def test_cache_that_cannot_be_written(library, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SGNS_JAX_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot write to .*SGNS_JAX_CACHE"):
        pydoc_file()
