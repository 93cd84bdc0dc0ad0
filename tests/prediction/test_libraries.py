import subprocess
import sys


def test_libraries_are_imported_before_the_process_ends_and_missing_ones_left_out() -> None:
    code = (
        "import atexit, sys; from sed.prediction.libraries import preload; "
        "preload(['no_such_library', 'no_such.library', 'scipy.ndimage']); "
        "atexit.register(lambda: print('scipy.ndimage' in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "True\n", "")
