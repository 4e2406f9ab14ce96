"""Trains word vectors with another program, in a process of its own.

    python -m experiments.benchmarking.peers gensim SETTINGS.json
    python -m experiments.benchmarking.peers fasttext SETTINGS.json

The settings say what to read (``text``), where the vectors go (``vectors``, word2vec's
text format, most frequent word first) and the numbers told (``report``). What a setting
does not name stays at the program's own default, learning rates above all. Imports
nothing of this library: its time and memory would count for the peer's.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path


def gensim(settings: dict) -> dict:
    """``Word2Vec(corpus_file=...)``: vocabulary and training in two timed calls."""
    from gensim.models import Word2Vec

    text = settings["text"]
    started = time.perf_counter()
    model = Word2Vec(
        sg=1,
        hs=0,
        vector_size=settings["dim"],
        window=settings["window"],
        negative=settings["negatives"],
        ns_exponent=settings["noise_exponent"],
        sample=settings["subsample"],
        min_count=settings["min_count"],
        epochs=settings["epochs"],
        seed=settings["seed"],
        workers=settings["threads"],
    )
    model.build_vocab(corpus_file=text)
    counted = time.perf_counter()
    total, epochs = model.corpus_total_words, model.epochs
    _, words_trained = model.train(corpus_file=text, total_words=total, epochs=epochs)
    trained = time.perf_counter()
    model.wv.save_word2vec_format(settings["vectors"])
    return {
        "reading_seconds": counted - started,
        "train_seconds": trained - counted,
        "words_counted": total,
        "words_trained": words_trained,
        "learning_rate": model.alpha,
    }


def fasttext(settings: dict) -> dict:
    """``train_unsupervised``, subwords off; one call counts and trains.

    The call says "Number of words" when it has counted: training is timed from there.
    With fewer than 10 threads it leaves a part of its vectors as memory was (issue
    1061 of fastText): zeros in large tables, anything in those of a tiny vocabulary.
    """
    from fasttext import FastText

    # The call takes no seed; 0 is what it falls back to.
    FastText.unsupervised_default["seed"] = settings["seed"]
    started = time.perf_counter()
    with _Stamped(b"Number of words") as counted:
        model = FastText.train_unsupervised(
            settings["text"],
            model="skipgram",
            loss="ns",
            minn=0,
            maxn=0,
            dim=settings["dim"],
            ws=settings["window"],
            neg=settings["negatives"],
            t=settings["subsample"] or 1.0,  # its 0 would keep no word at all
            minCount=settings["min_count"],
            epoch=settings["epochs"],
            thread=settings["threads"],
            verbose=1,
        )
        trained = time.perf_counter()
    words, counts = model.get_words(include_freq=True)
    _write(settings["vectors"], words, model.get_input_matrix(), FastText.EOS)
    return {
        "reading_seconds": counted.seconds - started,
        "train_seconds": trained - counted.seconds,
        "kept_words_counted": int(counts.sum()),
        "learning_rate": model.lr,
    }


def _write(path: str, words: list[str], matrix, line_end: str) -> None:
    """As many digits as fastText's own command writes; without its line-end word."""
    rows = [i for i, word in enumerate(words) if word != line_end]
    line = "%s" + " %.5g" * matrix.shape[1] + "\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{len(rows)} {matrix.shape[1]}\n")
        for i in rows:
            file.write(line % (words[i], *matrix[i].tolist()))


class _Stamped:
    """Passes the standard error on and notes when a text first appears in it.

    ``seconds`` is that moment by ``time.perf_counter``. C++ writes to the descriptor
    and not to ``sys.stderr``, hence the pipe.
    """

    def __init__(self, text: bytes):
        self._text, self.seconds = text, None

    def __enter__(self) -> "_Stamped":
        self._error = os.dup(2)
        self._from, to = os.pipe()
        os.dup2(to, 2)
        os.close(to)
        self._thread = threading.Thread(target=self._pass_on)
        self._thread.start()
        return self

    def _pass_on(self) -> None:
        seen = b""
        while part := os.read(self._from, 4096):
            seen += part
            if self.seconds is None and self._text in seen:
                self.seconds = time.perf_counter()
            os.write(self._error, part)

    def __exit__(self, *error) -> None:
        os.dup2(self._error, 2)  # closes the pipe's last writing end
        self._thread.join()
        os.close(self._from)
        os.close(self._error)
        if self.seconds is None and error == (None, None, None):
            raise RuntimeError(f"never said {self._text.decode()!r}")


def main(program: str, path: str) -> None:
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    report = {"gensim": gensim, "fasttext": fasttext}[program](settings)
    Path(settings["report"]).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
