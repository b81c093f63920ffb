from tests.experiments.programs import assert_refused, run


def test_bad_pools_are_refused(tmp_path):
    table = tmp_path / "pool.csv"
    table.write_text("arch,accuracy,reported_energy\n0 1 2,0.5,1\n")
    refused = run("benchmark", "--suite=pool", "--small", f"--table={table}")
    assert_refused(refused, "pool.csv", "line 2", "have 3 numbers; allowed: 40")
