"""Settings of windows that are compared."""

from loudness import Loudness

from sed.prediction.window_settings import WindowSettings
from sed.prediction.window_tuning import Measured, best, candidates


def test_the_default_comes_first_and_is_kept_if_nothing_is_better() -> None:
    settings = candidates(Loudness(), [0.0, 0.5, 0.8])
    assert settings[0] == WindowSettings() and len(settings) == len(set(map(str, settings))) == 6
    assert [one.overlap for one in settings[::2]] == [None, 0.0, 5.0]  # seconds of windows of 10 s
    assert best([Measured(one, {"dense": 0.5}) for one in settings]).settings == WindowSettings()
