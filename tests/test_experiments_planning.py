"""The plan that is printed: sizes from a sample, what is free, what is refused."""

import dataclasses
import gzip
import os
import resource
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import planning, room
from experiments.foreseeing import speed
from experiments.foreseeing.text import Size, size_of
from sgns_jax.config import Config
from sgns_jax.corpus import load_corpus
from sgns_jax.encoding import write_raw_ids
from sgns_jax.plan import device_bytes, state_bytes
from sgns_jax.sharding import MeshShape
from sgns_jax.text import open_source, tokenize
from sgns_jax.types import InputError

GB = 10**9


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """100,000 words by Zipf's law, 20 a line."""
    ranks = np.random.default_rng(0).zipf(1.5, 100_000)
    lines = (" ".join(map(str, line)) for line in ranks.reshape(-1, 20))
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(lines))
    return path


def test_a_sample_foretells_the_text_and_its_encoded_form_says_it(text, tmp_path):
    packed = tmp_path / "text.txt.gz"
    packed.write_bytes(gzip.compress(text.read_bytes()))
    config = Config(corpus=str(text))
    corpus = load_corpus(config.corpus, tmp_path / "corpus")
    V, T = len(corpus.vocabulary), len(corpus.tokens)
    wide = tmp_path / "wide.txt.gz"
    wide.write_bytes(gzip.compress(text.read_text().encode("utf-16")))
    for name, codec in (text, "utf-8"), (packed, "utf-8"), (wide, "utf-16"):
        asked = Config(corpus=str(name), encoding=codec)
        about = size_of(asked, tmp_path / "none", 80_000)
        # The sample is less than half of the text, so that a vocabulary as long as
        # the sample's, or one that grows as the text does, is further off.
        np.testing.assert_allclose(about.raw_words, 100_000, rtol=0.02)
        np.testing.assert_allclose(about.tokens, T, rtol=0.02)
        np.testing.assert_allclose(about.vocabulary, V, rtol=0.1)
        assert about.tokens_to_read > about.tokens and "about" in about.known
        assert about.longest_sentence == 20
    whole = size_of(config, tmp_path / "none")
    assert (whole.vocabulary, whole.raw_words) == (V, 100_000)
    assert "the first" in about.known and "by all of its" in whole.known
    exact = size_of(config, tmp_path / "corpus")
    assert (exact.tokens, exact.vocabulary, exact.raw_words) == (T, V, 100_000)
    assert exact.longest_sentence == corpus.longest_sentence <= 20
    assert exact.tokens_to_read == exact.distinct_words == exact.reading_seconds == 0
    np.testing.assert_allclose(exact.kept, whole.kept, rtol=0.01)
    other = Config(corpus=str(text), min_count=6)  # what is encoded is of another
    assert "about" in size_of(other, tmp_path / "corpus").known
    few = Config(corpus=str(text), max_vocabulary=7)
    assert size_of(few, tmp_path / "none").vocabulary == 7


def test_a_sampled_line_goes_on_in_the_next_piece(tmp_path):
    for name, lines in {"one": [40_000], "two": [3000, 30_000, 5]}.items():
        text = "\n".join(" ".join(["a", "b"] * (n // 2)) for n in lines)
        (tmp_path / name).write_text(text)
        config = Config(corpus=str(tmp_path / name))
        for sample in 10**6, 8000:  # pieces of a thousand bytes
            longest = size_of(config, tmp_path / "none", sample).longest_sentence
            assert longest == max(lines) or sample == 8000 and 2990 <= longest <= 4010
        cut = dataclasses.replace(config, sentence_length=7)
        assert size_of(cut, tmp_path / "none").longest_sentence == 7


def test_what_cannot_be_sampled_is_refused_in_a_line(tmp_path):
    (tmp_path / "text.txt").write_text("only once each")
    with pytest.raises(InputError, match="fewer than two words 5 times"):
        size_of(Config(corpus=str(tmp_path / "text.txt")), tmp_path)
    with pytest.raises(InputError, match="cannot read ahead on standard input"):
        size_of(Config(corpus="-"), tmp_path)


@pytest.mark.parametrize(
    ("line", "files", "left"),
    [
        ("0::/", {}, 5 * 2**20),  # none has a limit: what the machine has, and swap
        ("0::/a/b", {"a/memory.max": 900, "a/memory.current": 500}, 2**20 + 400 + 7),
        ("0::/a/b", {"a/memory.max": "max", "a/memory.current": 5}, 5 * 2**20),
        (
            "4:memory:/c",
            {"memory/c/memory.limit_in_bytes": 600,
             "memory/c/memory.usage_in_bytes": 500},
            2**20 + 100,
        ),
    ],
)  # fmt: skip
def test_free_memory_is_the_least_that_anyone_leaves(
    line, files, left, tmp_path, monkeypatch
):
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    contents = {
        proc / "meminfo": "MemAvailable: 4096 kB\nSwapFree: 1024 kB\n",
        proc / "self" / "cgroup": line + "\n",
        proc / "self" / "statm": "2 1 1 1 0 1 0\n",
        groups / "a" / "memory.stat": "anon 3\nfile 7\n",
    } | {groups / name: f"{value}\n" for name, value in files.items()}
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert room.host_memory(proc, groups) == left

    page, none = resource.getpagesize(), resource.RLIM_INFINITY
    for space, private in (3 * page, none), (none, 2 * page):  # 2 and 1 are taken
        limits = {resource.RLIMIT_AS: space, resource.RLIMIT_DATA: private}
        monkeypatch.setattr(
            resource, "getrlimit", lambda name, of=limits: (of[name], none)
        )
        assert room.host_memory(proc, groups) == min(left, page)


def give(monkeypatch, device, host, disk):
    names = "device_memory", "host_memory", "free_disk"
    for name, value in zip(names, (device, host, disk), strict=True):
        monkeypatch.setattr(room, name, lambda *_, value=value: value)


def test_what_is_no_text_is_told_before_it_is_foreseen(tmp_path, capsys):
    def foresee(content: bytes):
        (tmp_path / "text").write_bytes(content)
        return size_of(Config(corpus=str(tmp_path / "text")), tmp_path / "none")

    with pytest.raises(InputError, match="text is a PDF document"):
        foresee(b"%PDF-1.7")
    with pytest.raises(InputError, match="text is no utf-8 text"):
        foresee("река ".encode("koi8-r") * 100)
    foresee(b'{"a": 1}\n' * 99)
    assert "warning: most lines of" in capsys.readouterr().err
    os.mkfifo(tmp_path / "pipe")
    for source in "-", str(tmp_path / "pipe"):
        with pytest.raises(InputError, match="cannot read ahead on standard input or"):
            size_of(Config(corpus=source), tmp_path / "none")


def test_generations_are_foretold(text, tmp_path, monkeypatch):
    """Words in memory are bounded, and those on disk about as many as there will be."""
    monkeypatch.setattr("experiments.foreseeing.text.MAX_WORDS", 1000)
    monkeypatch.setattr("sgns_jax.encoding.MAX_WORDS", 1000)
    pieces = open_source(str(text), 2000)
    raw = write_raw_ids(pieces, tokenize, tmp_path, lambda done: None)
    spilled = sum(len(part) for one in raw.generations for part in one.parts)
    assert len(raw.generations) > 5
    about = size_of(Config(corpus=str(text)), tmp_path / "none", 80_000)
    assert about.distinct_words == 1000
    np.testing.assert_allclose(about.spilled_words, spilled, rtol=0.2)
    monkeypatch.setattr("experiments.foreseeing.text.MAX_WORDS", 10**6)
    about = size_of(Config(corpus=str(text)), tmp_path / "none", 80_000)
    assert about.spilled_words == 0 and 1000 < about.distinct_words < 10**6


def test_reading_takes_as_long_as_its_beginning_lets_expect(
    text, tmp_path, monkeypatch
):
    """A sample of a quarter of the text is counted in two seconds."""
    clock = iter((5.0, 7.0))
    monkeypatch.setattr("experiments.foreseeing.text.time.perf_counter", clock.__next__)
    sample = text.stat().st_size // 4
    about = size_of(Config(corpus=str(text)), tmp_path / "none", sample)
    np.testing.assert_allclose(about.reading_seconds, 8, rtol=0.01)


def test_training_has_the_memory_of_its_device_or_of_the_machine(monkeypatch):
    for device, host in (None, 7), (5, 7):
        give(monkeypatch, device, host, 0)
        assert room.training_memory() == (device or host)


def test_refused_is_what_no_program_could_do_with_and_no_byte_more(
    tmp_path, monkeypatch
):
    config, sizes = Config(dim=300), (10**8, 10**6)  # T, V
    asked = planning.Asked(MeshShape(2))
    least = device_bytes(config, 10**6, 10**8, asked.mesh).least
    disk = 8 * 10**6 * 300 + sum(state_bytes(config, 10**6))
    for fits in (None, 2 * least, disk), (least, 0, disk):
        give(monkeypatch, *fits)
        planning.refuse_what_cannot_fit(config, *sizes, tmp_path, asked)
    for fails, words in (
        ((None, 2 * least - 1, disk), "for 2 devices, which are cores"),
        ((least - 1, GB**2, disk), "on each device of the mesh data:2,model:1"),
        ((least, 0, disk - 1), r"4\.82 GB of disk, 4\.82 GB are free"),
    ):
        give(monkeypatch, *fails)
        with pytest.raises(InputError, match=words) as error:
            planning.refuse_what_cannot_fit(config, *sizes, tmp_path, asked)
        assert "V = 1,000,000" in str(error.value) and "lower --dim" in str(error.value)
    silent = SimpleNamespace(platform="gpu")  # one that does not say what is free
    monkeypatch.setattr(jax, "devices", lambda: [silent, silent])
    give(monkeypatch, None, 0, disk)
    planning.refuse_what_cannot_fit(config, *sizes, tmp_path)


def test_the_plan_fits_80_columns_and_says_so(text, tmp_path, monkeypatch, capsys):
    config = Config(corpus=str(text), dim=100)
    for free, verdict in ((30 * GB, "It fits."), (GB // 5, "It may not fit")):
        give(monkeypatch, None, free, GB)
        planning.show(config, tmp_path / "run", 2)
        out = capsys.readouterr().out
        assert verdict in out and max(map(len, out.splitlines())) <= 80
        assert not (tmp_path / "run").exists()
    give(monkeypatch, 10**5, GB, GB)
    with pytest.raises(InputError, match="100 kB are free"):
        planning.show(Config(corpus=str(text), backend="gpu"), tmp_path, 2)
    out = capsys.readouterr().out
    assert "100 kB free" in out and "not known, no recorded speed on a gpu" in out


def test_the_plan_is_that_of_the_longest_sentence(text, tmp_path, monkeypatch, capsys):
    give(monkeypatch, None, 30 * GB, 30 * GB)
    shown = []
    for window in 19, 2**30:
        config = Config(corpus=str(text), dim=100, window=window)
        planning.show(config, tmp_path / "run", 2)
        shown.append(capsys.readouterr().out.split("Time")[0])
    assert shown[0] == shown[1]


def test_the_plan_says_what_a_mesh_sends(text, tmp_path, monkeypatch, capsys):
    give(monkeypatch, None, 30 * GB, 30 * GB)
    config = Config(corpus=str(text), dim=100, replicas=1)
    shown = {}
    for shape in (MeshShape(), MeshShape(2), MeshShape(1, 2)):
        planning.show(config, tmp_path / "run", 2, planning.Asked(shape))
        shown[shape] = capsys.readouterr().out
        assert max(map(len, shown[shape].splitlines())) <= 80
    assert "Sent by" not in shown[MeshShape()]
    # Two devices: half of 64·(16 + 26 + 32) rows, 4·100 bytes each, goes to the other.
    assert f"  {'gradient rows':<44}{'947 kB':>10}\n" in shown[MeshShape(2)]
    # Half of 64·16·(26 + 32) scores, twice; and those of a loss in 16 steps.
    assert f"  {'scores':<44}{'238 kB':>10}\n" in shown[MeshShape(1, 2)]
    assert f"  {'scores of losses':<44}{'14.8 kB':>10}\n" in shown[MeshShape(1, 2)]


def test_words_that_are_left_out_send_nothing():
    """Of as many tokens, in half a million of which training finds its centres."""
    config, shape = Config(dim=100, replicas=2), MeshShape(2)
    few, many = (
        planning.sent_bytes(config, Size(10**6, 1000, raw, 5e5 / raw, ""), shape)
        for raw in (10**6, 4 * 10**6)
    )
    assert few == pytest.approx(many) and few["merging replicas"] > 1


def test_speed_is_that_of_the_records_and_elsewhere_unknown():
    def rate(cores=2, V=70_000, **settings):
        return speed.speed_of(Config(**settings), V, cores).kept_words_per_second

    (base,) = (
        run["kept_words_per_second"]["median"]
        for run in speed._read("sweep.json")["curves"]["dim"]
        if run["value"] == 100
    )
    np.testing.assert_allclose(rate(), base)
    np.testing.assert_allclose(rate(cores=1), base / 2)
    assert rate(dim=300) < rate(dim=150) < rate() and rate(V=10**6) < rate()
    assert rate(optimizer="adam") < rate() < rate(optimizer="sgd")
    for settings in (
        {"dim": 2000},
        {"backend": "tpu"},
        {"negatives_mode": "independent"},
    ):
        with pytest.raises(speed.Unknown, match="no recorded speed"):
            rate(**settings)
