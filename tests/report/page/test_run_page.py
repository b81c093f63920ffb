import html.parser
import json

import pytest

from greennas_jax.report.page import elements, progress, run_page, source
from greennas_jax.spaces import edits
from greennas_jax.spec import paleo_json
from tests.report.page import runs


class Reader(html.parser.HTMLParser):
    """Collects the elements of a page: name, attributes, and the text of all but style, script."""

    VOID = {"meta", "input"}

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def count(self, tag, **attributes):
        return sum(
            name == tag and all(found.get(key) == value for key, value in attributes.items())
            for name, found in self.elements
        )


def page(folder):
    run_page.remake(folder)
    text = (folder / "report.html").read_text()
    reader = Reader(text)
    assert reader.open == []
    return text, reader


def test_page_tells_the_verdict_first_and_every_part(tmp_path):
    text, reader = page(runs.workdir(tmp_path / "w", runs.small(8), runs.small(4)))
    words = "\n".join(reader.words)
    assert words.index("% less energy") < words.index("Accuracy holds") < words.index("Payback")
    assert "−0.50 points" in words and "99.00 % → 98.50 %" in words
    identities = {found["id"] for _, found in reader.elements if "id" in found}
    parts = {"networks", "energy", "search", "pareto", "best", "hypervolume", "predictions"}
    assert parts | {"text", "figures", "settings"} <= identities
    assert text.count('class="chart"') == 4
    # Both networks have four layers; one of them was narrowed.
    assert text.count('class="words"') == 8
    assert reader.words.count("narrowed") == 2
    # Three queries ran to their end, one was stopped early and lies below the axis.
    assert text.count('class="mark query"') >= 3
    assert "stopped early" in text


def test_page_loads_nothing(tmp_path):
    text, reader = page(runs.workdir(tmp_path / "w", runs.small(8), runs.small(4)))
    outside = {"link", "img", "iframe", "object", "embed", "base", "form"}
    assert not outside & {name for name, _ in reader.elements}
    assert not any({"src", "href", "action"} & found.keys() for _, found in reader.elements)
    assert "url(" not in text and "@import" not in text and "fetch(" not in text
    assert "default-src 'none'" in text
    assert len(text) < 200_000


def test_hostile_names_stay_text(tmp_path):
    nasty = f"{runs.NASTY}</style></script>"
    given, found = (runs.small(w, name=nasty, layer=runs.NASTY) for w in (8, 4))
    accuracy = runs.MEASURED | {"dataset": nasty, "split": nasty}
    text, reader = page(runs.workdir(tmp_path / "w", given, found, accuracy))
    assert reader.count("script") == 1 and reader.count("style") == 1
    assert "<script>alert" not in text and "</script>&" not in text
    assert any(runs.NASTY in word for word in reader.words)
    assert not any(key.startswith("on") for _, found in reader.elements for key in found)


def test_characters_that_html_cannot_hold_are_replaced():
    made = elements.document("a\x00b", elements.tag("p", "c\x07d\ud800e", title="\x1b"))
    assert "a�b" in made and '<p title="�">c�d�e</p>' in made
    made.encode("utf-8")


def test_proxy_run_says_that_accuracy_was_not_measured(tmp_path):
    folder = runs.workdir(tmp_path / "w", runs.small(8), runs.small(4), runs.PROXY)
    text, reader = page(folder)
    assert "Accuracy was NOT measured" in reader.words
    assert "Accuracy holds" not in text
    assert "proxy score 1 → 0.9" in reader.words


def test_run_that_found_nothing_says_so(tmp_path):
    text, reader = page(runs.workdir(tmp_path / "w", runs.small(8), runs.small(8)))
    assert "No greener network was found: the given one stands" in reader.words
    assert "less energy" not in "".join(reader.words).partition("Payback")[0]
    assert "chosen network" not in reader.words


def test_training_of_a_transformer_is_drawn(tmp_path, specs):
    given = paleo_json.load(specs / "vit_digits.json")
    space = edits.build(given)
    tokens = [size - 1 for size in space.sizes]
    folder = runs.workdir(tmp_path / "w", given, space.decode(tokens), mode="training")
    text, reader = page(folder)
    # Training has passes of its own: three ways to split the bars.
    assert reader.count("input", name="by") == 3
    rows = len(json.loads((folder / "report.json").read_text())["layers"])
    assert text.count('class="words"') == 2 * rows


def test_unknown_energy_parts_are_said(tmp_path):
    folder = runs.workdir(tmp_path / "w", runs.small(8), runs.small(4))
    report = json.loads((folder / "report.json").read_text())
    for side in ("before", "after"):
        report[side]["breakdown"] = None
        report[side]["reasons"]["breakdown"] = "fitted models tell no parts"
    (folder / "report.json").write_text(json.dumps(report))
    assert "Not known: fitted models tell no parts." in page(folder)[1].words


def test_page_is_the_same_when_made_again(tmp_path):
    folder = runs.workdir(tmp_path / "w", runs.small(8), runs.small(4))
    assert page(folder)[0] == page(folder)[0]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("report.json", '{"schema": "other"}', "greennas.report/1"),
        ("history.csv", "step,kind\n0,search\n", "history.csv, line 2"),
        ("optimized.json", "{", "line 1"),
    ],
)
def test_files_that_are_no_run_are_refused(tmp_path, name, content, told):
    folder = runs.workdir(tmp_path / "w", runs.small(8), runs.small(4))
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=told):
        run_page.remake(folder)


def points(*rows):
    return [progress.Point(cost, accuracy, stopped, "") for cost, accuracy, stopped in rows]


def test_front_leaves_out_the_dominated_and_the_stopped():
    given = points((4, 90, False), (2, 80, False), (3, 80, False), (1, 99, True), (5, 89, False))
    assert [(p.cost, p.accuracy) for p in progress.front(given)] == [(2, 80), (4, 90)]


def test_hypervolume_is_the_share_of_the_area_that_the_front_dominates():
    given, one, two, stopped = points(
        (10, 90, False), (4, 80, False), (6, 95, False), (2, 99, True)
    )
    picture = progress.Picture(
        [], [one, stopped, two], given, None, None, 0.0, 1.0, "cost", "accuracy"
    )
    # From the lowest accuracy, 80, to the best finished one, 95, costs from 0 to 10: 150 in all.
    # (4, 80) dominates nothing above 80; (6, 95) dominates (10 - 6) * (95 - 80) = 60.
    assert progress.hypervolumes(picture) == pytest.approx([0, 0, 60 / 150])


def test_source_reads_what_is_unknown_as_none(tmp_path):
    found = source.read(runs.workdir(tmp_path / "w", runs.small(8), runs.small(4)))
    assert [query.expected for query in found.queries] == [None, None, None, None, 0.99, 0.98, None]
    assert [query.stopped for query in found.queries].count(True) == 1
