"""The gradient laboratory: answers are right, bounds bind, mutants are caught."""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from experiments import gradient_check
from experiments.laboratory import (
    answers,
    block_problems,
    bounds,
    curves,
    examinations,
    mutants,
    problems,
    running,
    sampling,
    second_order,
    text,
    transformations,
)
from experiments.laboratory.mutants import MUTANTS
from sgns_jax import block, gradient, hessian
from sgns_jax.types import InputError, Params
from tests import oracle

WITH_MAKERS = examinations.with_makers(rules=("skip",))  # keep: with the mutants


@pytest.fixture
def pair(x64):
    """A pair with a repeated noise word, in float64."""
    return problems.pairs(problems.quantity("pair", "keep"), "float64")[0]


def by_oracle(problem):
    center, context, negatives = problem.data
    return answers.flat(
        oracle.pair_gradient(*problem.params, center, context, negatives)
    )


@pytest.mark.parametrize("name", examinations.ANSWERS)
def test_answers_agree_with_the_oracle(pair, name):
    answer, _ = examinations.ANSWERS[name]
    at = answers.touched(pair)
    tolerance = 1e-8 if name == "central differences" else 1e-14
    np.testing.assert_allclose(
        answer(pair, at).astype(float), by_oracle(pair)[at], rtol=tolerance
    )


def test_exact_answers_have_fifty_digits(pair):
    at = answers.touched(pair)
    one, other = answers.fifty_digits(pair, at), answers.computer_algebra(pair, at)
    assert max(abs((one - other) / other)) < 1e-46  # a sum of five terms of 50 digits


def test_exact_second_derivatives_are_symmetric(pair):
    rows, D = tuple(map(len, pair.params)), pair.params.w_in.shape[1]
    a, b = (problems.random_params(seed, rows, D, "float64") for seed in (1, 2))
    for table in (*a, *b):  # elsewhere no derivative is asked for
        table[[i for i in range(len(table)) if i not in (1, 2, 5, 7)]] = 0
    at = np.arange(len(answers.flat(pair.params)))
    at = at[np.isin(at, answers.touched(pair))]

    def product(x, y):
        return np.sum(answers.flat(x)[at] * answers.fifty_digit_hvp(pair, y, at))

    assert abs(product(a, b) / product(b, a) - 1) < 1e-45


def test_places_are_read_back(pair):
    at = answers.touched(pair)
    flat = answers.flat(pair.params)
    for place, (table, row, column) in zip(at, answers.places(pair, at), strict=True):
        assert flat[place] == pair.params[table][row, column]
    rows = {(t, r) for t, r, _ in answers.places(pair, at)}
    assert rows == {(0, 2), (1, 5), (1, 1), (1, 7)}


@pytest.mark.parametrize("dtype", examinations.DTYPES)
def test_pairs_hold_at_every_score(dtype):
    quantity = problems.quantity("pair", "keep")
    made = examinations._scores(quantity, dtype)
    assert all(c.holds for c in made), [c for c in made if not c.holds]
    assert {c.case for c in made} >= {"score 0", "score 1e-08", "score -10000"}


@pytest.mark.parametrize("dtype", examinations.DTYPES)
@pytest.mark.parametrize("score", problems.SCORES)
def test_pairs_have_the_score_that_they_say(dtype, score):
    problem = problems.pair_at_score(problems.quantity("pair", "keep"), dtype, score)
    w_in, w_out = answers.tables(problem.params)
    for word in (5, 1):
        eps = float(jnp.finfo(dtype).eps)  # the score itself may have to be rounded
        np.testing.assert_allclose(w_out[word] @ w_in[2], score, rtol=eps, atol=0)


def test_a_relative_error_of_1e_12_is_seen(pair):
    at = answers.touched(pair)
    found, exact = bounds.sizes(pair, at), answers.fifty_digits(pair, at)
    bound = bounds.of_derived(pair, found, "float64")
    right = answers.by_hand(pair, at)
    wrong = right.copy()
    wrong[7] *= 1 + 1e-12
    for ours, holds in ((right, True), (wrong, False)):
        one = bounds.compare(pair, at, found, ours, exact, "x", bound, "float64")
        assert one.holds is holds
    table, row, column = answers.places(pair, at[7:8])[0]
    assert one.position == f"{pair.params._fields[table]}[{row}, {column}]"
    assert one.error > 1e-13 > one.bound


@pytest.mark.parametrize("units, holds", [(7, True), (9, False)])
def test_nine_units_in_the_last_place_are_seen(units, holds):
    problem = problems.pair_at_score(problems.quantity("pair", "keep"), "float32", 1.0)
    at = answers.touched(problem)
    found, exact = bounds.sizes(problem, at), answers.fifty_digits(problem, at)
    ours = exact.astype(np.float32).astype(np.float64)
    ours[0] += units * np.spacing(np.float32(found.size[0]))
    bound = bounds.Bound(1.0, "loose", 0.0)
    most = examinations._required_ulps(problem, "50 digits")
    one = bounds.compare(
        problem, at, found, ours, exact, "50 digits", bound, "float32", most
    )
    assert one.holds is holds and abs(one.ulps - units) < 1


def test_a_number_in_a_row_without_terms_is_seen(pair):
    derived = by_oracle(pair)
    assert examinations.untouched(pair, derived).holds
    derived[0] = 1e-300
    assert not examinations.untouched(pair, derived).holds


def test_promises_are_stricter_than_arguments(pair):
    loose = bounds.Bound(np.array([1.0, 1e-20]), "why", 0.0)
    required = examinations._required(pair, "50 digits", loose)
    np.testing.assert_array_equal(required.limit, [1e-13, 1e-20])
    assert examinations._required(pair, "jax.grad", loose).limit[0] == 1e-12
    assert examinations._required(pair, "complex step", loose) is loose


def test_differences_show_the_v():
    made = curves.examine_steps()
    assert all(c.holds for c in made), made


@pytest.mark.parametrize(
    "part, failing", [("central_errors", 3), ("complex_errors", 1)]
)
def test_differences_that_do_not_improve_are_seen(monkeypatch, part, failing):
    found = curves.step_errors()
    flat = found | {part: [1e-3] * len(found[part])}
    monkeypatch.setattr(curves, "step_errors", lambda: flat)
    assert sum(not c.holds for c in curves.examine_steps()) == failing


@pytest.mark.parametrize(
    "quantity, make", [pytest.param(*one, id=one[0].name) for one in WITH_MAKERS]
)
def test_every_quantity_holds(quantity, make, x64):
    problem = make(quantity, "float64")[-1]
    made = examinations.examine(problem, ("complex step",))
    assert len(made) == 3 and all(c.holds for c in made), made


def blocks_with(label, of_loss=lambda loss, params: loss, of_gradient=1.0):
    """Shared blocks whose labels are not ±1 but ±label, and their problem."""

    def rows_and_weights(*arguments):
        made = block_problems.rows_and_weights("shared", "keep", *arguments)
        rows, weights = made
        return rows, weights._replace(label_R=label * weights.label_R)

    def loss(params, *words):
        parts = block.block_loss(*rows_and_weights(params, *words))
        return of_loss(parts.positive + parts.negative, params)

    def by_hand(params, *words):
        _, by_row = block.block_gradient(*rows_and_weights(params, *words))
        tables = (g.reshape(-1, block_problems.D) for g in by_row)
        return Params(*(of_gradient * g for g in tables))

    quantity = problems.Quantity("block shared keep", loss, by_hand)

    def make(dtype):
        problem = block_problems.block_shared(quantity, dtype)
        terms = problem.terms
        return problem._replace(terms=terms._replace(label=label * terms.label))

    return make


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("label", [2, 0.7, -0.7])
def test_a_label_may_be_any_number(label, dtype):
    against = [
        name
        for name in examinations.ANSWERS
        if dtype in examinations.ASKED.get(name, examinations.DTYPES)
    ]
    with jax.enable_x64(dtype == "float64"):
        made = examinations.examine(blocks_with(label)(dtype), against)
        assert all(c.holds for c in made), [c for c in made if not c.holds]
        wrong = blocks_with(label, of_gradient=1 + 3e-5)(dtype)
        made = examinations.examine(wrong, against)
        assert [c.against for c in made if not c.holds] == against


def test_the_bound_of_a_label_is_what_its_rounding_may_cost(x64):
    ones, other = (blocks_with(label)("float64") for label in (1, 1 + 2**-40))
    at = answers.touched(ones)
    units = (bounds.sizes(problem, at).roundings for problem in (ones, other))
    rise = np.subtract(*units)
    s_T = np.sum(
        ones.params.w_in[ones.terms.row_in] * ones.params.w_out[ones.terms.row_out], 1
    )
    assert np.all(-rise > 2) and np.all(-rise < 2 + 2 * np.max(abs(s_T)))


@pytest.mark.parametrize("scale", [2.5, -1.0])
def test_a_scale_is_stated_by_the_weights(scale, x64):
    make = blocks_with(1, lambda loss, params: scale * loss, of_gradient=scale)
    problem = make("float64")
    terms = problem.terms._replace(weight=scale * problem.terms.weight)
    stated = problem._replace(terms=terms)
    made = examinations.examine(stated, examinations.ANSWERS)
    assert all(c.holds for c in made), [c for c in made if not c.holds]
    at = answers.touched(problem)
    once, scaled = (bounds.sizes(p, at).size for p in (problem, stated))
    np.testing.assert_allclose(scaled, abs(scale) * once, rtol=1e-15)


@pytest.mark.parametrize(
    "of_loss",
    [
        pytest.param(lambda loss, params: 3 * loss, id="scale"),
        pytest.param(lambda loss, params: loss + 1e-6, id="offset"),
        pytest.param(
            lambda loss, params: loss + 1e-6 * jnp.sum(params.w_in**2), id="penalty"
        ),
    ],
)
def test_a_loss_that_its_terms_do_not_state_is_refused(of_loss, x64):
    problem = blocks_with(1, of_loss)("float64")
    with pytest.raises(InputError, match="loss is .*, its stated terms add up to"):
        examinations.examine(problem, ("complex step",))


@pytest.mark.parametrize("make", second_order.examinations())
def test_second_order_holds(make):
    made = make()
    assert made and all(c.holds for c in made), [c for c in made if not c.holds]


def test_a_wrong_hessian_is_seen(monkeypatch):
    right = second_order.hessian.block_hvp

    def without_gradient_part(rows, weights, direction):
        product = right(rows, weights, direction)
        return product._replace(u_BRD=product.u_BRD * (1 + 1e-9))

    monkeypatch.setattr(second_order.hessian, "block_hvp", without_gradient_part)
    assert not all(c.holds for c in second_order._blocks("keep"))


@pytest.mark.parametrize("make", transformations.examinations()[:3])
def test_transformations_hold(make):
    made = make()
    assert {c.against for c in made} >= {"vmap", "scan"}
    assert all(c.holds for c in made), made


@pytest.mark.parametrize("tier", examinations.screening())
def test_mutants_are_caught_in_their_tiers_alone(tier, unoptimized):
    """Each meets the tier's whole screening, as the command runs it.

    Those that do not touch the tier see that the library as it is holds there.
    """
    came = {name: running.screened((name, tier)) for name in MUTANTS}
    crashed = {name: how for name, how in came.items() if isinstance(how, str)}
    assert not crashed
    caught = [name for name in came if not all(c.holds for c in came[name])]
    assert caught == [name for name, mutant in MUTANTS.items() if tier in mutant.tiers]


def test_every_mutant_has_a_tier():
    assert all(m.tiers and m.replaced for m in MUTANTS.values())
    assert {t for m in MUTANTS.values() for t in m.tiers} == set(
        examinations.screening()
    )


def test_a_mutant_is_wherever_the_library_holds_the_function():
    wrong = mutants.Mutant("nothing", (), {gradient.slope: print})
    with mutants.applied(wrong):
        assert gradient.slope is block.slope is hessian.slope is print
    assert gradient.slope is block.slope is hessian.slope is not print


def test_an_argument_that_the_library_no_longer_takes_is_told():
    wrong = mutants._given(gradient.slope, temperature=lambda given: 2.0)
    with pytest.raises(TypeError, match="slope was not given temperature"):
        wrong(1, 0.5)


def test_the_sigma_table_is_word2vecs():
    # EXP_TABLE_SIZE 1000, MAX_EXP 6: (int)((f + 6) * (1000 / 6 / 2)), 1000/6/2 = 83.
    table = [1 / (1 + np.exp(-(i / 1000 * 2 - 1) * 6)) for i in range(1000)]
    for f in (-5.9, -1.0, 0.0, 0.3, 2.5, 5.99):
        want = table[int((f + 6) * 83)]
        np.testing.assert_allclose(mutants._table_sigmoid(jnp.float32(f)), want, 1e-5)
    assert abs(mutants._table_sigmoid(0.0) - 0.4940) < 1e-4


def test_fresh_words_are_told_from_frozen_ones():
    probs_V = sampling.fifty_digit_noise()
    np.testing.assert_allclose(
        probs_V, oracle.noise_distribution(problems.COUNTS_V, 0.75), rtol=1e-14
    )
    rng = np.random.default_rng(0)
    first, second = rng.choice(problems.V, (2, 20_000), p=probs_V)
    assert sampling._fresh(first, second, probs_V).holds
    assert not sampling._fresh(first, first, probs_V).holds
    z = scipy.stats.norm.isf(0.5e-9)
    assert abs(sampling._fresh(first, second, probs_V).bound - z) < 1e-9


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, unoptimized):
    """The command in this process, on a laboratory of a few examinations.

    The tests above see that they hold as users compile them.
    """
    quantity = problems.quantity("pair", "keep")
    few = [partial(examinations._scores, quantity, d) for d in examinations.DTYPES]
    few += [transformations.examinations()[0], second_order.examinations()[0]]
    few += [sampling.examine]
    monkeypatch.setattr(running, "PROCESSES", 1)
    monkeypatch.setattr(examinations, "everything", lambda: few)
    monkeypatch.setattr(curves, "SCORES", curves.SCORES[::12])
    monkeypatch.setattr(
        examinations,
        "screening",
        lambda: {"pair": screen_pair, "sampler": sampling.examine},
    )
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gradient_check", *arguments])
        with pytest.raises(SystemExit) as stop:
            gradient_check.SCRIPT.run(gradient_check.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def screen_pair():
    return examinations._screen(problems.quantity("pair", "keep"), problems.pairs)


def test_the_command_reports_and_ends_with_0(run, tmp_path):
    status, out, _ = run("--workdir=work")
    assert status == 0 and "all hold" in out
    assert max(map(len, out.splitlines())) <= 80
    for name in ("gradient_check.json", "steps.png", "scores.png"):
        assert (tmp_path / "work" / name).stat().st_size > 1000
    result = json.loads((tmp_path / "work" / "gradient_check.json").read_text())
    assert result["all_hold"] is True and result["failed"] == []
    for one in result["worst"]:
        assert one["holds"] and one["error"] <= one["bound"] and one["why"]
    assert set(result["error_against_score"]) == set(examinations.DTYPES)


def test_the_command_ends_with_1_if_anything_fails(run, tmp_path, monkeypatch):
    right = gradient.row_gradient

    def off_by_little(*rows):
        return jax.tree.map(lambda g: g * (1 + 3e-6), right(*rows))

    monkeypatch.setattr(gradient, "row_gradient", off_by_little)
    status, out, _ = run("--workdir=work")
    assert status == 1 and "do not hold" in out and "pair keep, jax.grad" in out
    result = json.loads((tmp_path / "work" / "gradient_check.json").read_text())
    assert result["all_hold"] is False and result["failed"]


def test_a_mutant_ends_with_1_and_names_who_saw_it(run):
    status, out, _ = run("--mutant=article_slip")
    assert status == 1
    assert "Caught" in out and "pair keep, complex step" in out and "bound" in out
    assert max(map(len, out.splitlines())) <= 80


HARMLESS = mutants.Mutant("nothing", (), {})


def test_a_mutant_that_gets_away_ends_with_0(run, monkeypatch):
    monkeypatch.setitem(MUTANTS, "harmless", HARMLESS)
    status, out, _ = run("--mutant=harmless")
    assert status == 0 and "MISSED" in out


def explode(y, s):
    raise KeyError("temperature", y, "and another\nline")


BROKEN = mutants.Mutant("raises", ("pair",), {gradient.slope: explode})


def test_a_mutant_that_crashes_ends_with_3_and_a_line(run, monkeypatch):
    monkeypatch.setitem(MUTANTS, "broken", BROKEN)
    status, out, err = run("--mutant=broken")
    assert status == 3 and "Traceback" not in out + err
    (line,) = [line for line in out.splitlines() if "CRASHED" in line]
    assert "in pair: KeyError: " in line and "'temperature', 1" in line
    assert f"({Path(__file__).name}:" in line and "in explode)" in line


def test_a_process_ended_from_outside_is_no_crash_of_a_mutant():
    with pytest.raises(InputError, match="ended from outside while screening"):
        running._run(_end_process, ["now"], "screening")


def _end_process(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_all_mutants_are_listed(run, tmp_path, monkeypatch):
    chosen = {name: MUTANTS[name] for name in ("flipped_sign", "frozen_noise")}
    for module in (gradient_check, running, text):
        monkeypatch.setattr(module, "MUTANTS", chosen)

    def everyone():
        status, out, _ = run("--mutant=all", "--workdir=work")
        result = json.loads((tmp_path / "work" / "mutants.json").read_text())
        return status, out, result["mutants"]

    status, out, found = everyone()
    assert status == 0 and "2 of 2 mutants caught, 0 missed, 0 crashed." in out
    assert found[0]["caught_by"] == ["pair keep"] and found[0]["clearest"]["error"] > 1
    assert found[1]["caught_by"] == ["noise words of two steps"]
    chosen["harmless"] = HARMLESS
    status, out, found = everyone()
    assert status == 1 and "2 of 3 mutants caught, 1 missed, 0 crashed." in out
    assert [one["outcome"] for one in found] == ["caught", "caught", "missed"]
    # The first one crashes, and the others are tried all the same.
    monkeypatch.setattr(gradient_check, "MUTANTS", {"broken": BROKEN} | chosen)
    monkeypatch.setattr(running, "MUTANTS", {"broken": BROKEN} | chosen)
    monkeypatch.setattr(text, "MUTANTS", {"broken": BROKEN} | chosen)
    status, out, found = everyone()
    assert status == 3 and "2 of 4 mutants caught, 1 missed, 1 crashed." in out
    assert [one["outcome"] for one in found] == "crashed caught caught missed".split()
    (line,) = found[0]["crashes"]
    assert line.startswith("pair: KeyError") and "in explode" in line and line in out
    assert "harmless                MISSED" in out


def test_an_unknown_mutant_is_refused(run):
    status, _, err = run("--mutant=nobody")
    (line,) = err.splitlines()
    assert status == 2 and "nobody" in line and "article_slip" in line
