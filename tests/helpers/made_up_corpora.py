"""Made-up URBAN-SED, TUT Sound Events 2017 and RealDESED: archives in their layouts, with some seconds of noise.

Each corpus is {number of its record on Zenodo: {name of an archive: its content}}.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np
import soundfile
from faulty_server import tarred, zipped

URBAN = ["air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling", "engine_idling", "gun_shot"]
URBAN += ["jackhammer", "siren", "street_music"]
TUT = ["brakes squeaking", "car", "children", "large vehicle", "people speaking", "people walking"]
REAL = ["bell_ringing", "coffee_machine", "cutlery_dishes", "door_open_close", "footsteps", "keyboard_typing"]
REAL += ["keychain", "light_switch", "microwave", "phone_ringing", "running_water", "toilet_flushing", "vacuum_cleaner"]
REAL += ["wardrobe_drawer_open_close", "window_open_close"]
Rows = list[tuple[float, float, str]]  # onset, offset, label


def sound(seconds: float, rows: Rows, labels: list[str], *, rate: int = 8000, channels: int = 1) -> bytes:
    """Return a WAV of noise, with a tone during each event, whose frequency depends on the label.

    The low rate (Hz) keeps files small; the tone of the last of 15 labels, 3.8 kHz, still fits. Clips of equal length
    with as many events have the same noise.
    """
    time = np.arange(round(seconds * rate)) / rate
    samples = 0.01 * np.random.default_rng(len(rows)).standard_normal(len(time))
    for onset, offset, label in rows:
        active = (time >= onset) & (time < offset)
        samples[active] += 0.2 * np.sin(2 * np.pi * (300 + 250 * labels.index(label)) * time[active])
    file = io.BytesIO()
    soundfile.write(file, np.repeat(samples[:, None], channels, 1), rate, format="WAV")
    return file.getvalue()


def events(number: int, seconds: float, labels: list[str]) -> Rows:
    """Return two events of a clip; the second ends beyond the clip by a rounding error, as URBAN-SED's do.

    Their labels are those at `number`, the clip's index, and after it; as many clips as labels have every label.
    """
    first, second = labels[number % len(labels)], labels[(number + 1) % len(labels)]
    return [(0.3, 0.4 * seconds, first), (0.7 * seconds, seconds + 2e-15, second)]


def jams(rows: Rows, seconds: float) -> bytes:
    """Return the rows as Scaper writes them, with the background as an event of the label noise."""
    observed = [("background", 0.0, seconds, "noise"), *(("foreground", a, b - a, label) for a, b, label in rows)]
    data = [
        {"time": a, "duration": length, "value": {"label": label, "role": role, "snr": 10.0}, "confidence": 1.0}
        for role, a, length, label in observed
    ]
    found = {"annotations": [{"namespace": "scaper", "sandbox": {"scaper": {}}, "data": data, "duration": seconds}]}
    return json.dumps({**found, "file_metadata": {"jams_version": "0.2.2"}, "sandbox": {}}, indent=2).encode()


def text(rows: Rows) -> bytes:
    """Return the rows as URBAN-SED and TUT Sound Events have them: onset, offset, label, separated by tabs."""
    return "".join(f"{onset!r}\t{offset!r}\t{label}\n" for onset, offset, label in rows).encode()


def urban_sed(*, clips: Mapping[str, int], seconds: float = 2.0) -> dict[str, dict[str, bytes]]:
    """Return a made-up URBAN-SED; `clips` is {split: number of clips}."""
    files = {"README.txt": b"URBAN-SED", "FREESOUNDCREDITS.txt": b""}
    for split, count in clips.items():
        for number in range(count):
            name, rows = f"soundscape_{split}_uniform{number}", events(number, seconds, URBAN)
            files[f"audio/{split}/{name}.wav"] = sound(seconds, rows, URBAN)
            files[f"annotations/{split}/{name}.txt"] = text(rows)
            files[f"annotations/{split}/{name}.jams"] = jams(rows, seconds)
    return {"1324404": {"URBAN-SED_v2.0.0.tar.gz": tarred({f"URBAN-SED_v2.0.0/{k}": v for k, v in files.items()})}}


def tut_sed(*, development: int = 8, evaluation: int = 3, seconds: float = 11.5) -> dict[str, dict[str, bytes]]:
    """Return a made-up TUT Sound Events 2017; fold k tests on every fourth recording.

    The recipe cuts recordings of the default length into a whole clip of 10 s and a short one; the second event is in
    both.
    """
    records: dict[str, dict[str, bytes]] = {}
    for record, what, count in (("814831", "development", development), ("1040179", "evaluation", evaluation)):
        name = f"TUT-sound-events-2017-{what}"
        audio, meta = {f"{name}/README.md": b"TUT"}, {f"{name}/EULA.pdf": b""}
        lists: dict[str, list[str]] = {}
        for number in range(count):
            stem, rows = f"{what[0]}{number:03d}", events(number, seconds, TUT)
            audio[f"{name}/audio/street/{stem}.wav"] = sound(seconds, rows, TUT, channels=2)
            listed = [f"audio/street/{stem}.wav\tstreet\t{a}\t{b}\t{label}" for a, b, label in rows]
            # lines of the evaluation set's .ann files begin with file and scene, those of development with the onset
            meta[f"{name}/meta/street/{stem}.ann"] = (
                text(rows) if what == "development" else "".join(f"{line}\n" for line in listed).encode()
            )
            if what == "development":  # unverified labels, with one event more: the recipe must not read them
                meta[f"{name}/non_verified/meta/street/{stem}.ann"] = text(rows) + b"0.1\t0.2\tchildren\n"
            for fold in range(1, 5):  # nothing reads the evaluation set's lists
                tested = number % 4 == fold - 1
                lists.setdefault(f"street_fold{fold}_{'test' if tested else 'train'}.txt", []).extend(
                    [f"audio/street/{stem}.wav\tstreet"] if tested else listed
                )
        # lines end with CRLF here and with LF in other files, so that the recipe is tested with both
        meta |= {f"{name}/evaluation_setup/{k}": "\r\n".join([*v, ""]).encode() for k, v in lists.items()}
        parts = [dict(list(audio.items())[half::2]) for half in (0, 1)] if what == "development" else [audio]
        for number, part in enumerate(parts, 1):
            suffix = f"audio.{number}.zip" if what == "development" else "audio.zip"
            records.setdefault(record, {})[f"{name}.{suffix}"] = zipped(part)
        records[record][f"{name}.meta.zip"] = zipped(meta)
    return records


def realdesed(*, recordings: int = 15, seconds: float = 12.0) -> dict[str, dict[str, bytes]]:
    """Return a made-up RealDESED: `recordings` of each split; those of training have three annotators each.

    The first is the collector; the second is always late; the third is a3 or a4 in turn, so that not all recordings
    have the same annotators. In every fifth training recording, the first one's rows occur once more, as accepted by a
    review. Recordings of the default length become a whole clip of 10 s and a short one.
    """
    record = {}
    for split in ("train", "validation", "test"):
        files, metadata = (
            {},
            ["filename,target_classes,recording_device,device_placement,recording_environment,license"],
        )
        final, raw = ["filename,onset,offset,class"], []
        for number in range(recordings):
            name, rows = f"{split}_{number}.wav", events(number, seconds, REAL)
            files[f"{split}/audio/{name}"] = sound(seconds, rows, REAL)
            targets = "; ".join(label for *_, label in rows)
            metadata.append(f'{name},"{targets}",{("Pixel 6", "iPhone 12")[number % 2]},static,kitchen; hall,CC0')
            final += [f"{name},{onset},{offset},{label}" for onset, offset, label in rows]
            for annotator, late in (("a1", 0.0), ("a2", 0.5), (f"a{3 + number % 2}", 0.0)):
                raw += [
                    f"{name},{onset + late},{offset},{label},{annotator},{annotator == 'a1'},{status},"
                    for onset, offset, label in rows
                    for status in ["unreviewed", *["accepted"] * (number % 5 == 0 and annotator == "a1")]
                ]
        files[f"{split}/metadata.csv"] = "\n".join(metadata).encode()
        header = f"{final[0]},annotator_id,annotator_is_creator,review_status,reviewer_id"
        tables = {"annotations_raw.csv": [header, *raw]} if split == "train" else {"annotations.csv": final}
        files |= {f"{split}/{table}": "\n".join(lines).encode() for table, lines in tables.items()}
        record[f"{split}.zip"] = zipped(files)
    return {"20056072": record}
