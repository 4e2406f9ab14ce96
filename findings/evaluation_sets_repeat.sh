#!/usr/bin/env bash
# The sets that word vectors are scored with, as gensim 4.4.0 ships them, ask some
# questions twice: WordSim-353 has 351 different pairs, two of them with two human
# scores each, and of Google's 19,544 analogies 171 stand both in
# capital-common-countries and in capital-world, so that the total counts them twice.
# How: count them.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q gensim==4.4.0
cat > show.py <<'P'
import collections
import sys
from gensim.test.utils import datapath

pairs = collections.defaultdict(list)
with open(datapath("wordsim353.tsv"), encoding="utf-8") as file:
    for line in file:
        if not line.startswith("#"):
            a, b, score = line.split("\t")
            pairs[frozenset((a, b))].append(float(score))
twice = {" ".join(sorted(p)): scores for p, scores in pairs.items() if scores[1:]}
print(f"WordSim-353: {len(pairs)} different pairs; twice: {twice}")

sections = collections.defaultdict(list)
with open(datapath("questions-words.txt"), encoding="utf-8") as file:
    for line in map(str.strip, file):
        if line.startswith(":"):
            section = line[2:]
        else:
            sections[line].append(section)
total = sum(map(len, sections.values()))
repeated = collections.Counter(tuple(s) for s in sections.values() if s[1:])
print(f"analogies: {total:,}, {len(sections):,} different; twice: {dict(repeated)}")
sys.exit(
    twice != {"bank money": [8.12, 8.5], "cash money": [9.15, 9.08]}
    or repeated != {("capital-common-countries", "capital-world"): 171}
)
P
env/bin/python show.py
# Seen:
#   WordSim-353: 351 different pairs; twice: {'bank money': [8.12, 8.5], 'cash money': [9.15, 9.08]}
#   analogies: 19,544, 19,373 different; twice: {('capital-common-countries', 'capital-world'): 171}
