from greennas_jax.report import scaling_table


def test_the_table_marks_the_fastest_and_the_greenest(scaling_study):
    lines = scaling_table.text(scaling_study).splitlines()
    rows = {
        line.split()[0]: line for line in lines if line.split()[:1] and line.split()[0].isdecimal()
    }
    assert rows.keys() == {"1", "2", "4", "8"}
    marked = {
        word: [w for w, row in rows.items() if row.endswith(word)]
        for word in ("fastest", "greenest")
    }
    assert marked == {
        "fastest": [str(scaling_study["fastest_workers"])],
        "greenest": [str(scaling_study["greenest_workers"])],
    }
    assert scaling_study["greenest_workers"] == 4
    assert "kWh" in rows["1"]
    assert "data parallel, strong scaling, batch 4096, all-reduce ring" in lines[0]
    assert not any(line != line.rstrip() for line in lines)


def test_unknown_power_is_a_dash_with_its_reason(study_without_power):
    text = scaling_table.text(study_without_power)
    assert "states neither 'tdp_w' nor 'static_w'" in text
    row = next(line for line in text.splitlines() if line.split()[:1] == ["2"])
    assert row.split()[-3:] == ["-", "-", "fastest"]
    assert "--host_w states the rest of each node" in text
