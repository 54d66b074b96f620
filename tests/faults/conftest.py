"""What tests of hostile data share."""

import signal

import pytest
from test_data import class_folders


@pytest.fixture
def no_hang():
    """A reader that waits for ever fails within twenty seconds."""

    def stop(*_):
        raise TimeoutError("still reading after 20 s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def root(tmp_path):
    return class_folders(tmp_path / "set")
