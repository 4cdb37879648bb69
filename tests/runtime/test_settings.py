import pytest
from pydantic import ValidationError

from vidswap.runtime.settings import RunSettings


def test_times_may_be_numbers_of_seconds():
    settings = RunSettings(start=1, end=2.5)
    assert (settings.start, settings.end) == ("1", "2.5")
    assert RunSettings(start=0.00001).start == "0.00001"
    assert RunSettings(start="10f").start == "10f"
    with pytest.raises(ValidationError):
        RunSettings(start=True)
