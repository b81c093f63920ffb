import pytest

from greennas_jax.costs import grid, sites


def test_the_users_numbers_come_first():
    found = sites.site(pue=1.3, intensity=12, country="Poland", datacentre="t5", price=0.25)
    assert (found.pue.value, found.pue.provenance) == (1.3, "stated")
    assert (found.intensity.value, found.intensity.provenance) == (12, "stated")
    assert found.price.value == 0.25


def test_then_the_country_then_the_data_centre_then_the_world():
    country = sites.site(country="Poland", year=2020, datacentre="t5")
    assert (country.intensity.value, country.pue.value) == (647.321, 1.12)
    assert sites.site(datacentre="t5").intensity.value == 545
    # A site whose electricity nobody states takes the world's.
    google = sites.site(datacentre="google")
    assert google.intensity == grid.intensity()
    assert google.intensity.provenance == "assumed"


def test_nothing_given_is_the_world_as_an_assumption():
    found = sites.site()
    assert (found.pue.value, found.pue.provenance) == (1.56, "assumed")
    assert found.intensity == grid.intensity("World")._replace(
        provenance="assumed", source=found.intensity.source
    )
    assert found.price.value is None
    assert found.price.source == "no price is given"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pue": 0.9}, "pue is 0.9; allowed: from 1"),
        ({"pue": float("nan")}, "pue is nan"),
        ({"intensity": -1}, "intensity is -1; allowed: from 0"),
        ({"price": float("inf")}, "price is inf"),
        ({"country": "Atlantis"}, "country 'Atlantis' is not known"),
        ({"datacentre": "moon"}, "data centre 'moon' is not known"),
    ],
)
def test_refused(given, words):
    with pytest.raises(ValueError, match=words):
        sites.site(**given)
