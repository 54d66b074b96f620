"""What can go wrong, one row a fault, and the tests that let it happen.

A test here names the rows that it covers: `@pytest.mark.row("D1")`. `make faults` runs them and
tells of every row of `catalogue.py` whether it held.
"""
