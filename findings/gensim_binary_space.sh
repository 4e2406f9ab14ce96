#!/usr/bin/env bash
# gensim 4.4.0 writes a key that holds a space into word2vec's binary format, where a
# space ends the key, and cannot read the file back: the rest of the key is taken for
# numbers. Mostly the reader then fails on bytes that are no text; with some numbers
# it does not, and returns other words and other vectors without a word.
# How: save and load tables of random vectors with the key "new york".
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q gensim==4.4.0
cat > show.py <<'P'
import collections
import sys
import numpy as np
from gensim.models import KeyedVectors

words = ["new york", "paris", "rome"]
outcomes, example = collections.Counter(), None
for seed in range(200):
    saved = KeyedVectors(4)
    random = np.random.default_rng(seed)
    saved.add_vectors(words, random.standard_normal((3, 4)).astype(np.float32))
    saved.save_word2vec_format("vectors.bin", binary=True)
    try:
        loaded = KeyedVectors.load_word2vec_format("vectors.bin", binary=True)
    except (UnicodeDecodeError, EOFError) as error:
        outcomes[type(error).__name__] += 1
    else:
        same = loaded.index_to_key == words
        outcomes["equal" if same else "other words, no error"] += 1
        example = example or loaded.index_to_key
print("gensim 4.4.0, 200 tables with a key of two words:", dict(outcomes))
print("words of the first that loaded:", example)
sys.exit(outcomes["equal"] > 0 or outcomes["other words, no error"] == 0)
P
env/bin/python show.py
# Seen:
#   gensim 4.4.0, 200 tables with a key of two words: {'UnicodeDecodeError': 188, 'other words, no error': 12}
#   words of the first that loaded: ['new', '?7U9?paris', 'rome']
