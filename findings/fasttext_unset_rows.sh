#!/usr/bin/env bash
# fastText 0.9.3 starts most of its input table at zero: with n threads, n tenths
# of the rows get random numbers, one thread included. word2vec's start, which its
# paper and help describe, is random in every row.
# How: train for one epoch at a rate that moves nothing, and count the rows of zeros.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q setuptools wheel pybind11==3.0.1 numpy==1.26.4
env/bin/pip install -q --no-build-isolation fasttext==0.9.3   # compiles: a minute
cat > show.py <<'P'
import sys
import fasttext
import numpy as np

words = [f"w{i}" for i in range(30_000)]
with open("text.txt", "w") as file:
    file.writelines(" ".join(words[i : i + 10]) + "\n" for i in range(0, 30_000, 10))
zero = {}
for threads in (1, 2, 5, 10):
    model = fasttext.train_unsupervised(
        "text.txt", model="skipgram", lr=1e-9, epoch=1, dim=300, minCount=1,
        minn=0, maxn=0, bucket=0, thread=threads, verbose=0,
    )
    rows = np.abs(model.get_input_matrix()) < 1e-6
    zero[threads] = round(float(rows.all(axis=1).mean()), 2)
    print(f"fasttext 0.9.3, {threads:2} threads: {zero[threads]:.0%} of rows are 0")
sys.exit(zero != {1: 0.9, 2: 0.8, 5: 0.5, 10: 0.0})
P
env/bin/python show.py
# Seen:
#   fasttext 0.9.3,  1 threads: 90% of rows are 0
#   fasttext 0.9.3,  2 threads: 80% of rows are 0
#   fasttext 0.9.3,  5 threads: 50% of rows are 0
#   fasttext 0.9.3, 10 threads: 0% of rows are 0
