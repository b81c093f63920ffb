"""The examples of docstrings do what they say, and the package's docstring is a map of it."""

import doctest
import importlib
import pathlib
import re

import pytest

import greennas_jax
from greennas_jax.spec import shapes

MODULES = (
    "greennas_jax",
    "greennas_jax.costs.devices",
    "greennas_jax.costs.grid",
    "greennas_jax.costs.links",
    "greennas_jax.costs.terms",
    "greennas_jax.plugins",
    "greennas_jax.spaces.catalogue",
    "greennas_jax.spec.layer_types",
    "greennas_jax.spec.paleo_json",
    "greennas_jax.spec.shapes",
    "greennas_jax.spec.strict_json",
)
HOUSE = pathlib.Path(greennas_jax.__file__).parent


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_say(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0 and found.attempted > 0


def test_a_wrong_example_is_found():
    parser = doctest.DocTestParser()
    wrong = parser.get_doctest(">>> output_size(4, 2, 1, 'VALID')\n4\n", vars(shapes), "x", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1


def test_every_module_with_examples_is_run():
    holding = {
        ".".join(path.relative_to(HOUSE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in HOUSE.rglob("*.py")
        if ">>> " in path.read_text()
    }
    assert holding == set(MODULES)


def test_the_package_docstring_names_every_part():
    told = greennas_jax.__doc__
    parts = {path.name for path in HOUSE.iterdir() if (path / "__init__.py").exists()}
    assert all(re.search(rf"\b{part}\b", told) for part in parts), parts
    # And the modules that begin a line of it are there.
    for package in ("spec", "costs", "spaces"):
        block = re.search(rf"^    {package}  .*\n((?: {{6}}.*\n)+)", told, re.MULTILINE)
        begun = re.findall(r"^ {6}([a-z0-9_]+(?:, [a-z0-9_]+)*)  ", block.group(1), re.MULTILINE)
        assert begun
        for module in ", ".join(begun).split(", "):
            assert (HOUSE / package / f"{module}.py").exists(), f"{package}.{module}"
