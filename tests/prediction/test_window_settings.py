from sed.prediction.window_settings import WindowSettings, from_stored


def test_what_is_given_goes_before_what_is_stored() -> None:
    stored = WindowSettings(overlap=3.0, centre_events=False, tuned_on={"seed": 1, "soundbank": ""})
    assert stored.changed() is stored
    assert stored.changed(centre_events=True) == WindowSettings(overlap=3.0, centre_events=True)
    assert stored.changed(overlap=0.0) == WindowSettings(overlap=0.0, centre_events=False)
    assert from_stored(stored.to_stored(), "x", again="y") == stored
    assert from_stored(None, "x", again="y") == WindowSettings()


def test_the_soundscapes_that_chose_are_known_by_bank_and_seed() -> None:
    stored = WindowSettings(tuned_on={"soundbank": "bank", "seed": 1, "minutes": 2})
    assert stored.was_tuned_on("elsewhere/bank", 1)
    assert not stored.was_tuned_on("elsewhere/bank", 2) and not stored.was_tuned_on("", 1)
    assert not WindowSettings().was_tuned_on("", 0)


def test_a_soundbank_is_known_by_the_name_of_its_folder_behind_links(tmp_path, monkeypatch):
    (tmp_path / "bank").mkdir()
    (tmp_path / "link").symlink_to("bank")
    monkeypatch.chdir(tmp_path / "bank")
    stored = WindowSettings(tuned_on={"soundbank": "bank", "seed": 1, "minutes": 1})
    assert stored.was_tuned_on(str(tmp_path / "link"), 1) and stored.was_tuned_on(".", 1)
    synthetic = WindowSettings(tuned_on={"soundbank": "", "seed": 1, "minutes": 1})
    assert synthetic.was_tuned_on("", 1) and not synthetic.was_tuned_on(".", 1)
