import pytest

from greennas_jax.costs import grid

MAIN = ("World", "US", "China", "India", "Germany", "France", "UK", "Japan", "Canada", "Sweden")


def test_the_table_is_wide_and_every_value_names_its_source():
    rows = grid.countries()
    assert len(rows) >= 26
    for row in rows:
        assert len(row.years) >= 2
        for year, (value, source) in row.years.items():
            assert 1990 <= year <= 2030
            assert 5 < value < 1100
            assert len(source) > 10
    assert all(len(grid.country(name).years) >= 3 for name in MAIN)


def test_no_name_means_two_countries():
    words = [word.casefold() for row in grid.countries() for word in {row.name, *row.also}]
    assert len(words) == len(set(words)) + 1  # "World" is a name and a code.


def test_published_values():
    """Ember's yearly data: France 2021, Poland 2020, world 2024."""
    assert grid.intensity("France", 2021).value == 67.39
    assert grid.intensity("PL", 2020).value == 647.321
    assert grid.intensity("world", 2024).value == 473.05


@pytest.mark.parametrize("name", ["Turkey", "TÜRKIYE", "turkiye", "TR", "tur"])
def test_names_in_any_case_by_code_and_without_accents(name):
    assert grid.country(name).name == "Turkey"


def test_the_users_country_is_stated_and_the_world_is_an_assumption():
    assert grid.intensity("south_korea").provenance == "stated"
    found = grid.intensity()
    assert (found.provenance, found.value) == ("assumed", grid.intensity("World").value)
    assert "no country given" in found.source


def test_a_year_that_is_not_known_takes_the_nearest_and_says_so():
    found = grid.intensity("France", 2015)
    assert found.value == grid.intensity("France", 2020).value == 67.53
    assert "2015 is not in the table, 2020 is the nearest year" in found.source
    assert "nearest" not in grid.intensity("France", 2020).source
    # Between 2021 and 2023: as near, the later one.
    assert grid.intensity("France", 2022).value == 56.04
    assert "France 2023" in grid.intensity("France", 2022).source


def test_without_a_year_the_last():
    assert grid.intensity("Germany").value == grid.intensity("Germany", 2024).value == 344.14


def test_an_unknown_country_names_the_nearest():
    with pytest.raises(grid.GridError, match="'Frnace' is not known; nearest: France"):
        grid.intensity("Frnace")
    with pytest.raises(grid.GridError, match="'Qqqq' is not known; allowed: .*Germany"):
        grid.country("Qqqq")


@pytest.mark.parametrize(
    ("name", "pue", "tonnes", "megawatt_hours"),
    [("t5", 1.12, 46.7, 85.7), ("meena", 1.09, 96.4, 232), ("gpt3", 1.10, 552.1, 1287)],
)
def test_sites_of_published_runs(name, pue, tonnes, megawatt_hours):
    """Patterson et al. 2021, table 4: the intensity is net tCO2e over MWh."""
    found = grid.datacentre(name)
    assert (found.pue.value, found.pue.provenance) == (pue, "stated")
    assert found.intensity is not None
    assert found.intensity.value == pytest.approx(1000 * tonnes / megawatt_hours, rel=2e-3)


def test_the_worlds_site_is_an_assumption_without_electricity():
    found = grid.datacentre("world_average")
    assert (found.pue.provenance, found.intensity) == ("assumed", None)


def test_an_unknown_site_names_the_nearest():
    with pytest.raises(grid.GridError, match="data centre 'gogle' is not known; nearest: google"):
        grid.datacentre("gogle")
