#!/usr/bin/env bash
# gensim 4.4.0 reads vectors in which a word stands twice (public collections have
# such files) by keeping the first row, and leaves its list of words one short of what
# the file promised: the last word is None, it counts in len(), and it comes back
# from most_similar() with the similarity nan. A warning is logged, if logging is on.
# How: load three rows of two words.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q gensim==4.4.0
printf '3 2\na 1 2\na 2 1\nb 1 1\n' > vectors.txt
cat > show.py <<'P'
import math
import sys
import warnings
from gensim.models import KeyedVectors

warnings.simplefilter("ignore")  # of the division by a length of zero
vectors = KeyedVectors.load_word2vec_format("vectors.txt")
words, near = vectors.index_to_key, vectors.most_similar("a", topn=3)
print(f"gensim 4.4.0: words {words}, len {len(vectors)}")
print(f"most similar to a: {[(word, round(float(s), 2)) for word, s in near]}")
last = near[-1]
sys.exit(not (words == ["a", "b", None] and last[0] is None and math.isnan(last[1])))
P
env/bin/python show.py
# Seen:
#   gensim 4.4.0: words ['a', 'b', None], len 3
#   most similar to a: [('b', 0.95), (None, nan)]
