import numpy as np
import pytest

from greennas_jax.accuracy import sequences


def _matches(word):
    """Return whether brackets 01 and 23 match, by taking away neighbours that do."""
    text = "".join("()[]"[token] for token in word if token < 4)
    while True:
        less = text.replace("()", "").replace("[]", "")
        if less == text:
            return not text
        text = less


@pytest.mark.parametrize("name", sequences.TASKS)
@pytest.mark.parametrize("length, vocabulary", [(16, 6), (13, 7)])
def test_sequences_are_all_different_and_classes_alike_frequent(name, length, vocabulary):
    tokens, labels = sequences.make(name, 600, length, vocabulary, 0)
    assert tokens.shape == (600, length) and tokens.dtype == labels.dtype == np.int32
    assert tokens.min() >= 0 and tokens.max() < vocabulary
    assert len(np.unique(tokens, axis=0)) == 600 and labels.sum() == 300
    again, _ = sequences.make(name, 600, length, vocabulary, 0)
    other, _ = sequences.make(name, 600, length, vocabulary, 1)
    np.testing.assert_array_equal(tokens, again)
    assert not np.array_equal(tokens, other)
    # In no order that a network could learn by heart.
    assert 200 < np.abs(np.diff(labels)).sum() < 400


def test_parity_is_that_of_the_ones():
    tokens, labels = sequences.make("parity", 200, 9, 2, 0)
    assert [sum(row) % 2 for row in tokens.tolist()] == labels.tolist()
    assert set(tokens.reshape(-1).tolist()) == {0, 1}


def test_copies_repeat_and_others_differ_in_one_to_three_places():
    for length, vocabulary in ((16, 8), (15, 5)):
        tokens, labels = sequences.make("copy", 400, length, vocabulary, 0)
        half = length // 2
        differ = (tokens[:, :half] != tokens[:, -half:]).sum(1)
        np.testing.assert_array_equal(differ == 0, labels == 1)
        assert set(differ[labels == 0].tolist()) == {1, 2, 3}


def test_brackets_match_exactly_where_the_label_says():
    tokens, labels = sequences.make("brackets", 600, 12, 6, 0)
    assert [_matches(row) for row in tokens.tolist()] == [bool(label) for label in labels]
    # Counting does not tell: many broken words open and close every kind alike often.
    counts = np.stack([(tokens == token).sum(1) for token in range(4)], axis=1)
    even = (counts[:, 0::2] == counts[:, 1::2]).all(1)
    assert even[labels == 1].all() and 0.5 < even[labels == 0].mean() < 0.9


def test_words_of_every_even_length_are_filled_up_behind():
    tokens, _ = sequences.make("brackets", 600, 11, 6, 0)
    filled = tokens == 4
    assert (np.diff(filled.astype(int), axis=1) >= 0).all()
    assert set((11 - filled.sum(1)).tolist()) == {4, 6, 8, 10}
    few, labels = sequences.make("brackets", 100, 12, 3, 0)
    assert sequences.bracket_kinds(3) == sequences.bracket_kinds(4) == 1 and few.max() == 2
    ones = [[token for token in row if token < 2] for row in few.tolist()]
    assert [_matches(row) for row in ones] == [bool(label) for label in labels]


def test_what_cannot_be_made_is_refused():
    with pytest.raises(
        sequences.TooFewError, match="'parity' has too few different sequences of 5"
    ):
        sequences.make("parity", 40, 5, 2, 0)
    assert len(sequences.make("parity", 32, 5, 2, 0)[0]) == 32
    with pytest.raises(sequences.TooFewError, match="'copy' needs sequences of 4 tokens or more"):
        sequences.make("copy", 4, 3, 5, 0)
    with pytest.raises(sequences.TooFewError, match="the network reads 8 of 2"):
        sequences.make("brackets", 4, 8, 2, 0)
