"""``import stempede`` is quick and pulls in none of the heavy libraries."""

import subprocess
import sys

HEAVY = ["torch", "cupy", "dask", "distributed", "zarr", "pyarrow", "pydantic", "matplotlib"]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_import_is_quick_and_light():
    seconds, *loaded = run(
        "import sys, time; t = time.perf_counter(); import stempede;"
        "print(time.perf_counter() - t);"
        f"print(*[m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert loaded == []
    assert float(seconds) < 0.5


def test_stages_and_kernels_run_without_the_libraries_of_files_and_schedulers():
    names = [m for m in HEAVY if m != "matplotlib"]
    done = run(
        "import sys\n"
        f"for name in {names!r}: sys.modules[name] = None\n"
        "import stempede.frames, stempede.stage, stempede.pipeline\n"
        "from stempede.stage import STAGES, find\n"
        "for name in STAGES: find('stage', name)\n"
        "print('ok')"
    )
    assert done == ["ok"]
