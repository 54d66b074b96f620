"""The catalogue is whole: every row has a test or a reason."""

from collections import Counter

from .catalogue import NOT_APPLICABLE, ROWS, marked


def test_the_catalogue_counts_what_it_says():
    counts = Counter(row[0] for row in ROWS)
    assert counts == {"D": 18, "C": 17, "M": 8, "T": 22, "S": 10, "R": 11, "W": 13, "E": 9}
    assert marked() <= ROWS.keys()
    assert NOT_APPLICABLE.keys() <= ROWS.keys() - marked()


def test_every_row_that_applies_has_a_test():
    assert sorted(ROWS.keys() - marked() - NOT_APPLICABLE.keys()) == []
