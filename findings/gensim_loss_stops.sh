#!/usr/bin/env bash
# gensim 4.4.0 adds up the training loss in float32: once the sum is 2^24, terms
# below 1 no longer change it, and get_latest_training_loss() stands still at
# 16,777,216 for ever. Before that it counts terms too low: from 2^22 on, 0.69 as 0.5.
# At the start of training every term is log 2 = 0.69, so some two million pairs with
# 10 noise words each are enough.
# How: train at a rate that moves nothing, so that every term stays log 2; five
# times the text should give five times the loss.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q gensim==4.4.0
cat > show.py <<'P'
import sys
import numpy as np
from gensim.models import Word2Vec

draws = np.random.default_rng(0).integers(0, 5000, (500, 1000))
text = [[f"w{i}" for i in line] for line in draws]
losses = []
for sentences in (100, 500):
    model = Word2Vec(
        text[:sentences], vector_size=4, window=10, negative=10, sg=1, min_count=1,
        sample=0, workers=1, epochs=1, compute_loss=True, alpha=1e-9, min_alpha=1e-9,
    )
    losses.append(model.get_latest_training_loss())
    print(f"gensim 4.4.0, {sentences * 1000:,} words: loss {losses[-1]:,.0f}")
print(f"five times the text: {losses[1] / losses[0]:.2f} times the loss")
sys.exit(losses[1] != 2**24 or losses[0] >= 2**23)
P
env/bin/python show.py
# Seen:
#   gensim 4.4.0, 100,000 words: loss 7,359,868
#   gensim 4.4.0, 500,000 words: loss 16,777,216
#   five times the text: 2.28 times the loss
