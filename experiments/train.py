"""Question: which word vectors does this text give?

    python -m experiments.train
    python -m experiments.train --corpus=books/ --workdir=runs/books --epochs=10

Trains skip-gram with negative sampling and writes into the work folder:

    vectors.txt     the vectors, word2vec text format, most frequent word first
    result.json     settings, versions, speed, losses, scores
    metrics.jsonl   losses and learning rate, a line a round
    loss.png        the same as a picture
    map.png         the most frequent words on a plane
    checkpoints/    where the same command goes on after an interruption
    corpus/         the encoded text
"""

import time
from pathlib import Path

from absl.flags import FlagValues
from jax.sharding import Mesh

from experiments import cli, joining, planning, processes, report, sitting
from experiments.foreseeing import learning
from experiments.provenance import device
from experiments.runtime import check_devices, start_jax
from experiments.stopping import Stopping
from experiments.workdir import Workdir, read_corpus
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.evaluation import evaluate_folder, format_table, to_json
from sgns_jax.sharding import make_mesh, on_host, parse_mesh
from sgns_jax.train import make_trainer, narrowed
from sgns_jax.vectors import WordVectors

SCRIPT = cli.Script(__doc__, again="goes on from the last checkpoint")
SCRIPT.define_config()
SCRIPT.define(
    "Run", Path, "workdir", "",
    "Folder for results; made if missing. Empty: runs/ and the corpus's name. The "
    "same command on the same folder goes on where it stopped.",
    "a folder one may write to",
)  # fmt: skip
SCRIPT.define(
    "Run", Path, "eval_dir", "",
    "Folder to score the vectors with: files of word, word and number (tabs, commas, "
    "semicolons or spaces between) and of analogies in Google's format, named *.tsv, "
    "*.csv or *.txt. Empty: none.",
    "a folder",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "restrict_vocabulary", 30_000,
    "Answer analogies among so many of the most frequent words (gensim: 300000; the "
    "Google set is often scored at 30000).",
    "a whole number >= 1",
)  # fmt: skip
SCRIPT.define(
    "Run", str, "words", "",
    "Words whose nearest neighbours are shown at the end, separated by commas. Empty: "
    "a dozen are chosen.",
    "words of the corpus",
)  # fmt: skip
SCRIPT.define(
    "Run", float, "checkpoint_seconds", 60.0,
    "Write a checkpoint every so many seconds, and one at the end.",
    "a number > 0",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "keep_checkpoints", 2,
    "How many of the newest checkpoints stay on disk.",
    "a whole number >= 1",
)  # fmt: skip
SCRIPT.define(
    "Run", str, "mesh", "",
    "How many devices share the text (first the replicas, then the blocks of a step) "
    "and how many the columns of the tables. The vectors are those of one device, to "
    "rounding. Empty: chosen from devices and sizes; --plan says why.",
    "like data:2,model:4",
)  # fmt: skip
SCRIPT.define(
    "Many processes", str, "coordinator", "",
    "Where the first of several processes is reached, which train one model together; "
    "the same for all. Empty, like the next two: one process, or what SLURM, Open MPI, "
    "Kubernetes or a TPU pod tells JAX.",
    "like node1:1234",
)  # fmt: skip
SCRIPT.define(
    "Many processes", int, "num_processes", 0,
    "How many processes there are; 1: this one trains alone, whatever a cluster says.",
    "a whole number >= 1",
)  # fmt: skip
SCRIPT.define(
    "Many processes", int, "process_id", -1,
    "Which of them this one is; 0 is the one that the others reach.",
    "0 to num_processes - 1",
)  # fmt: skip
SCRIPT.define(
    "Run", float, "device_memory", 0.0,
    "Memory of each device in GB, which a run must fit into; 0: what is free there, if "
    "the device says so. With --plan, also for devices that are not here.",
    "a number >= 0",
)  # fmt: skip
SCRIPT.define(
    "Run", bool, "plan", False,
    "Only say what the run would take of memory, disk and time, and whether it fits. "
    "Nothing is trained; of a text that is not encoded yet, 64 MB are read.",
    "true | false",
)  # fmt: skip
SCRIPT.define(
    "Run", str, "on_nonfinite", "stop",
    "What to do when a loss or a vector is no finite number any more: stop, or halve "
    "the learning rate and go on from the last checkpoint, three times at most.",
    "stop | halve",
)  # fmt: skip


def main(flags: FlagValues) -> int | None:
    joining.join(flags.coordinator, flags.num_processes, flags.process_id)
    config = cli.config(flags, start_jax())
    processes.one_voice()
    report.check_run_flags(flags)
    mesh = parse_mesh(flags.mesh) if flags.mesh else None
    asked = planning.Asked(mesh, int(flags.device_memory * 1e9) or None)
    folder = flags.workdir or report.default_workdir(config.corpus)
    if flags.plan:
        return planning.show(config, Path(folder), flags.keep_checkpoints, asked)
    if mesh:
        check_devices(mesh)
    workdir = Workdir(folder)
    finished = workdir.finished(config)
    processes.check_same(finished, f"is the run in {folder} finished")
    if finished:
        print(
            f"This run is finished: {workdir.path('vectors.txt')} holds its vectors. "
            "To train anew, give another --workdir."
        )
        vectors = WordVectors.load(workdir.path("vectors.txt"))
        return conclude(flags, workdir, vectors, workdir.read_result())
    started = time.perf_counter()
    corpus, fitted, mesh = read(flags, config, workdir, asked)
    reading_seconds = time.perf_counter() - started
    compiling = time.perf_counter()
    counts = corpus.vocabulary.counts
    trainer = make_trainer(fitted, counts, len(corpus.tokens), mesh)
    compile_seconds = time.perf_counter() - compiling
    run = sitting.Run(
        fitted,
        corpus,
        workdir,
        flags.checkpoint_seconds,
        flags.keep_checkpoints,
        halve=flags.on_nonfinite == "halve",
    )
    state, halvings = sitting.train(run, trainer)
    matrix = on_host(state.params.w_in)
    if not processes.first():
        return  # the rest is said and written once
    vectors = WordVectors(tuple(corpus.vocabulary.words), matrix)
    workdir.save_vectors(vectors)
    metrics = workdir.read_metrics()
    result = report.result(config, corpus)
    result |= report.speed(metrics, run.rounds, config, corpus)
    result["learning_rate_halvings"] = halvings
    result["reading_seconds"] = reading_seconds
    result["compile_seconds"] = compile_seconds
    result["pictures_seconds"] = draw(workdir, metrics, vectors)
    result["total_seconds"] = time.perf_counter() - started
    conclude(flags, workdir, vectors, result)


def read(
    flags: FlagValues, config: Config, workdir: Workdir, asked: planning.Asked
) -> tuple[Corpus, Config, Mesh]:
    """The corpus, the settings narrowed to it, and the mesh.

    Once it is clear that the run can be made, and here.
    """
    corpus = read_corpus(config, workdir)
    processes.check_same(int(corpus.fingerprint[:7], 16), "the text's fingerprint")
    V, T = len(corpus.vocabulary), len(corpus.tokens)
    learning.refuse_too_few_pairs(config, corpus.tokens, corpus.vocabulary.counts)
    report.check_words(flags.words, corpus.vocabulary)
    fitted = narrowed(config, corpus.longest_sentence)
    plan = planning.refuse_what_cannot_fit(fitted, T, V, workdir.path(""), asked)
    workdir.claim(config, corpus.fingerprint)
    print(
        f"{corpus.raw_words:,} words, {V:,} different ones seen at least "
        f"{config.min_count} times, on {plan.shape.devices} x {device()}"
    )
    print(cli.wrapped(f"Mesh {plan.shape}: {plan.reason}"))
    if corpus.replaced_bytes:
        _warn(
            f"{corpus.replaced_bytes:,} times the text was not {config.encoding}; "
            "U+FFFD stands for what could not be decoded (see --encoding)"
        )
    print(learning.outlook(fitted, corpus))
    if doubt := learning.doubt(fitted, corpus):
        _warn(doubt)
    return corpus, fitted, make_mesh(plan.shape, config.replicas)


def draw(workdir: Workdir, metrics: list[dict], vectors: WordVectors) -> float:
    """Draws loss.png and map.png; the seconds that it took."""
    started = time.perf_counter()
    with Stopping() as stopping:  # what a signal breaks off here ends in a traceback
        from experiments import plots  # not before: it takes seconds
    if stopping.asked:
        raise stopping.asked
    if metrics:
        plots.loss(metrics, workdir.path("loss.png"))
    nameless = plots.word_map(vectors, workdir.path("map.png"))
    if nameless:
        _warn(report.nameless_words(nameless))
    return time.perf_counter() - started


def conclude(
    flags: FlagValues, workdir: Workdir, vectors: WordVectors, result: dict
) -> None:
    """Keeps the result, scores the vectors if asked, prints the summary."""
    result["neighbours"] = report.neighbours(vectors, flags.words)
    result["mean_cosine"] = report.mean_cosine(vectors)
    result["warnings"] = report.warnings(result)
    workdir.save_result(result)  # a file in eval_dir that changed costs no training
    print("\n" + report.summary(result))
    for warning in result["warnings"]:
        _warn(warning)
    print("\n" + report.neighbour_table(result["neighbours"]))
    if flags.eval_dir:
        scores = evaluate_folder(vectors, flags.eval_dir, flags.restrict_vocabulary)
        workdir.save_result(result | {"evaluation": to_json(scores)})
        print("\n" + format_table(scores))
    print(f"\nVectors: {workdir.path('vectors.txt')}")
    print(f"Pictures: {workdir.path('loss.png')}, {workdir.path('map.png')}")


def _warn(text: str) -> None:
    print(cli.wrapped(f"warning: {text}"))


if __name__ == "__main__":
    SCRIPT.run(main)
