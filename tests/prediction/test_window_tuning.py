"""Settings of windows that are compared."""

import pytest
from loudness import POST, Loudness, burst

from sed.errors import UserError
from sed.prediction.soundscapes import Recording
from sed.prediction.window_settings import WindowSettings
from sed.prediction.window_tuning import Measured, best, candidates, measure


def test_the_default_comes_first_and_is_kept_if_nothing_is_better() -> None:
    settings = candidates(Loudness(), [0.0, 0.5, 0.8])
    assert settings[0] == WindowSettings() and len(settings) == len(set(map(str, settings))) == 6
    # every second one, since each overlap comes with and without centring; in seconds of windows of 10 s, None: the
    # default, 0.8 of a window
    assert [one.overlap for one in settings[::2]] == [None, 0.0, 5.0]
    assert best([Measured(one, {"dense": 0.5}) for one in settings]).settings == WindowSettings()


def test_recordings_without_events_are_refused() -> None:
    silent = Recording(burst(1, 0, 30), [], 0.5)
    with pytest.raises(UserError, match="dense: no event in 1 recordings"):
        measure(Loudness(), POST, {"dense": [silent]}, [WindowSettings()])
