import numpy as np
import pytest

from greennas_jax import query_log
from greennas_jax.report import front_table
from greennas_jax.search import front_baselines, table_problem, tabular
from greennas_jax.search.tabular import TabularConfig
from tests.search import tabulated

PROBLEM = tabulated.problem()
CONFIG = TabularConfig(budget=40, start=5, batch=5, singly=12)


def run(algorithm, seed, observed=None, problem=PROBLEM, config=CONFIG):
    observed = tabular.nothing(problem) if observed is None else observed
    *_, last = tabular.search(problem, algorithm, seed, config, observed)
    return last


def test_steps_by_hand():
    # 5, then one by one up to 12, then fives: 12, 17, 22, 27, 32, 37, and the last 3.
    sizes, done = [], 0
    while done < CONFIG.budget:
        sizes.append(CONFIG.step_after(done))
        done += sizes[-1]
    assert sizes == [5, *[1] * 7, *[5] * 5, 3]
    assert [CONFIG.whole_steps(n) for n in (0, 4, 5, 8, 16, 17, 40)] == [0, 0, 5, 8, 12, 17, 40]


@pytest.mark.parametrize("name", list(front_baselines.BASELINES))
def test_searches_repeat_and_go_on(name):
    algorithm = front_baselines.BASELINES[name](PROBLEM)
    whole = run(algorithm, 3)
    assert len(np.unique(whole.tokens, axis=0)) == 40
    resumed = run(algorithm, 3, table_problem.first(whole, 22))
    np.testing.assert_array_equal(resumed.tokens, whole.tokens)
    assert (run(algorithm, 4).tokens != whole.tokens).any()


def test_evolution_and_sorting_beat_random():
    reached = {
        name: np.mean(
            [
                front_table.reached(PROBLEM, run(make(PROBLEM), seed, config=config).tokens, 150)[
                    "strict"
                ]
                for seed in range(3)
            ]
        )
        for name, make in front_baselines.BASELINES.items()
        for config in [TabularConfig(budget=150)]
    }
    assert min(reached["nsga2"], reached["evolution"], reached["local"]) > reached["random"]


def test_constrained_and_accuracy_objectives_are_served():
    for settings in ({"objective": "accuracy"}, {"objective": "constrained", "target": 0.8}):
        problem = tabulated.problem(**settings)
        for make in front_baselines.BASELINES.values():
            assert len(run(make(problem), 0, problem=problem).accuracy) == 40


def test_budgets_beyond_the_space_are_refused():
    with pytest.raises(ValueError, match="budget 7000 is larger than the space; nasbench201 has"):
        tabular.check_budget(PROBLEM, TabularConfig(budget=7000))


def test_crowding_by_hand():
    # Ends are infinite; the middle sees the whole span in both: 1 + 1.
    found = front_baselines.crowding(np.array([0.1, 0.5, 0.9]), np.array([1.0, 1.5, 3.0]))
    assert found.tolist() == [np.inf, 2.0, np.inf]


def test_logs_are_read_back_and_cut_lines_dropped(tmp_path):
    told = run(front_baselines.RandomFront(PROBLEM), 0)
    path = tmp_path / "queries.csv"
    query_log.rewrite(path, PROBLEM, {7: told})
    whole = path.read_text()
    assert whole.splitlines()[0] == "seed,step,arch_str,accuracy,energy_mj"
    assert whole.splitlines()[1].startswith("7,1,|")
    path.write_text(whole[:-9])
    found = query_log.read(path, PROBLEM)
    np.testing.assert_array_equal(found[7].tokens, told.tokens[:-1])
    np.testing.assert_array_equal(found[7].accuracy, told.accuracy[:-1])
    path.write_text(whole + "7,41,nonsense,1,1\n")
    with pytest.raises(ValueError, match="line 42: not a logged query"):
        query_log.read(path, PROBLEM)


def test_hypervolumes_by_hand():
    # From (0, 2): (0.5, 0) adds 0.5 x 2, (0.8, 1) above it 0.3 x 1.
    found = front_table.hypervolume(np.array([0.5, 0.8, 0.4]), np.array([0.0, 1.0, 1.5]), (0, 2))
    assert found == pytest.approx(1.3)
    whole = front_table.reached(PROBLEM, PROBLEM.tokens, len(PROBLEM.tokens))
    assert whole == {"wide": 1.0, "strict": 1.0, "regret": 0.0}
    assert "\n     25      1  " in front_table.text(PROBLEM, {0: PROBLEM.tokens[:40]})
