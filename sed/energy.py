"""Energy of a training or of inference, in an energy.json: kWh by codecarbon, offline.

Beside the kWh, `sed.bin.train` and `sed.bin.infer` store the multiply-accumulates (`sed.models.cost`).

codecarbon is an extra (pip install '.[energy]'). It counts the whole machine, as in the DCASE baseline. It
measures where processor and driver have energy counters and estimates elsewhere; the file states which, for processor,
GPU and memory each.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sed.errors import UserError
from sed.files import write_json
from sed.input_files import parse_json

FILE = "energy.json"
MEASURED, ESTIMATED = "measured", "estimated"
PARTS = ("cpu", "gpu", "ram")
COUNTERS = ("intel_rapl", "intel_power_gadget", "windows_emi")
"""codecarbon's processor modes that read counters; its other modes estimate from the nominal power"""
EVERY = 15.0
"""seconds between codecarbon's samples, its own default"""
log = logging.getLogger("sed.energy")


def read_energy(path: Path) -> dict[str, Any]:
    """Return the content of an energy.json; empty if it is missing or damaged: counting starts again."""
    try:
        found = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and all(map(_is_entry, found.values())) else {}


def _is_entry(entry: Any) -> bool:
    """Return whether the values of an entry and of its parts that must be numbers are numbers."""
    if not isinstance(entry, dict) or not isinstance(parts := entry.get("parts", {}), dict):
        return False
    numbers = [entry[key] for key in ("runs", "killed", "running", "seconds", "kwh") if key in entry]
    numbers += [part.get("kwh") if isinstance(part, dict) else None for part in parts.values()]
    return all(isinstance(number, int | float) for number in numbers)


def write_energy(path: Path, values: Mapping[str, Any]) -> None:
    """Set top-level entries of an energy.json; its other entries stay."""
    write_json(path, {**read_energy(path), **values})


def add_energy(path: Path, what: str, values: Mapping[str, Any]) -> None:
    """Add values to the entry of one kind of work in an energy.json.

    Args:
        path: the file.
        what: kind of work: `training` or `inference`.
        values: values to add, replacing those of the same name.
    """
    write_energy(path, {what: {**read_energy(path).get(what, {}), **values}})


def relative_to(baseline: Path, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return the energy of a system as multiples of the DCASE baseline's, which depend less on the machine than kWh.

    Args:
        baseline: energy.json of the baseline, trained for 10 epochs (DCASE's rule) and tested on the same machine.
        ours: the content of the system's energy.json.

    Returns:
        For training and for inference, where both files have it: the baseline's kwh and epochs, and the ratio.

    Raises:
        UserError: the baseline's file has no energy of any work that `ours` has, or it has that of another device.
    """
    reference = read_energy(baseline)
    ratios: dict[str, Any] = {}
    for what in ("training", "inference"):
        theirs, mine = reference.get(what), ours.get(what, {})
        if "kwh" not in mine or not (
            isinstance(theirs, dict) and isinstance(theirs.get("kwh"), int | float) and theirs["kwh"] > 0
        ):
            continue
        if theirs.get("device") != mine.get("device"):
            devices = f"{what} on {theirs.get('device')}, not on {mine.get('device')}"
            raise UserError(f"{baseline}: {devices} (measure both on one machine)")
        epochs = {"epochs": theirs["epochs"]} if "epochs" in theirs else {}
        ratios[what] = {"kwh": theirs["kwh"], **epochs, "ratio": mine["kwh"] / theirs["kwh"]}
    if not ratios:
        measured = " or ".join(what for what in ("training", "inference") if "kwh" in ours.get(what, {}))
        raise UserError(f"{baseline}: no kWh of {measured} in it (--energy of a baseline writes such a file)")
    return ratios


@contextmanager
def metered(path: Path, what: str, *, again: bool) -> Iterator[None]:
    """Count the energy of a block, as `what` in the energy.json at `path`.

    A block that ends early (an error, an interrupt) is counted as far as it went. A killed one is not: `killed` counts
    these, and the energy is then a lower bound.

    Args:
        path: the file.
        what: kind of work: `training` or `inference`.
        again: whether the work may be the continuation of an earlier run, whose energy is added; else it is replaced.

    Yields:
        None, while the energy is measured.

    Raises:
        UserError: codecarbon is not installed.
    """
    tracker = _tracker()
    earlier = read_energy(path).get(what, {}) if again else {}
    count = {"runs": earlier.get("runs", 0) + 1, "killed": earlier.get("killed", 0) + earlier.get("running", 0)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_energy(path, {what: {**earlier, **count, "running": 1}})
    started = time.monotonic()
    tracker.start()
    try:
        yield
    finally:
        tracker.stop()
        seconds = round(time.monotonic() - started + earlier.get("seconds", 0.0), 1)
        used = _added(earlier, parts_of(tracker))
        write_energy(path, {what: {**used, "seconds": seconds, **count, "running": 0}})
        log.info("%s: %s took %.6f kWh (%s)", path, what, used["kwh"], used["how"])


def parts_of(tracker: Any) -> dict[str, dict[str, Any]]:
    """Return {part of the machine: kwh, and `how` it is known} of a stopped codecarbon tracker, without unused parts.

    GPUs are read from their driver's counter. Memory is always estimated, from its size.
    """
    modes = {type(one).__name__.lower(): getattr(one, "_mode", "") for one in getattr(tracker, "_hardware", [])}
    counted = {"cpu": modes.get("cpu") in COUNTERS, "gpu": True, "ram": False}
    energy = {part: float(getattr(tracker.final_emissions_data, f"{part}_energy")) for part in PARTS}
    return {
        part: {"kwh": energy[part], "how": MEASURED if counted[part] else ESTIMATED} for part in PARTS if energy[part]
    }


def _added(earlier: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the energy of all runs: the sum and its parts; a sum is estimated if any of its terms is."""
    total: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        found = [one[part] for one in (earlier.get("parts", {}), parts) if part in one]
        if found:
            how = MEASURED if all(one.get("how") == MEASURED for one in found) else ESTIMATED
            total[part] = {"kwh": sum(one["kwh"] for one in found), "how": how}
    how = MEASURED if total and all(one["how"] == MEASURED for one in total.values()) else ESTIMATED
    return {"kwh": sum(one["kwh"] for one in total.values()), "how": how, "parts": total}


def _tracker() -> Any:
    """Return a tracker of codecarbon that sends and writes nothing and is silent but for errors."""
    logging.getLogger("codecarbon").addFilter(lambda record: record.levelno >= logging.ERROR)
    try:
        import codecarbon
    except ImportError:
        raise UserError("--energy needs codecarbon (pip install codecarbon, or this package with [energy])") from None
    return codecarbon.OfflineEmissionsTracker(
        country_iso_code="FRA",  # required by codecarbon for grams of CO2, which we do not store
        measure_power_secs=EVERY,
        tracking_mode="machine",
        save_to_file=False,
        save_to_api=False,
        allow_multiple_runs=True,
        log_level="error",
    )
