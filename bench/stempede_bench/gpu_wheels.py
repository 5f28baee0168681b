"""Collects the wheels a GPU machine lacks: ``python -m stempede_bench.gpu_wheels FOLDER``.

Such machines often have CUDA, torch, CuPy and the numerical stack, and no network. The wheels
(pure Python or manylinux, for the Python asked for) lie in an ignored folder that ``gpu-check``
unpacks; they stay under 50 MiB. Without them ``gpu-check`` works on frames in memory.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

WANTED = (
    "zarr numcodecs donfig google-crc32c pydantic pydantic-core annotated-types typing-inspection "
    "dask distributed toolz cloudpickle locket partd tblib zict sortedcontainers tornado "
    "rosettasciio pint flexcache flexparser python-box python-dateutil xyzservices "
    "importlib-metadata cucim-cu13 lazy-loader click narwhals"
).split()
PLATFORMS = ("2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
LIMIT_MIB = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Download the wheels for Python 3.12 (or the version given) into a folder."""
    values = list(sys.argv[1:] if arguments is None else arguments)
    folder = Path(values[0] if values else ".wheels")
    version = values[1] if len(values) > 1 else "3.12"
    folder.mkdir(parents=True, exist_ok=True)
    pins = _pins(Path("constraints.txt"))
    failed = [name for name in WANTED if not _download(name, pins.get(name), folder, version)]
    mib = sum(f.stat().st_size for f in folder.glob("*.whl")) / 2**20
    print(f"{len(list(folder.glob('*.whl')))} wheels, {mib:.1f} MiB in {folder}")
    for name in failed:
        print(f"not found for Python {version}: {name}")
    if mib > LIMIT_MIB:
        print(f"more than {LIMIT_MIB} MiB: remove some before carrying them")
        return 1
    return 0


def _pins(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    lines = [line.strip() for line in file.read_text().splitlines()]
    pairs = [line.split("==") for line in lines if "==" in line]
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def _download(name: str, pin: str | None, folder: Path, version: str) -> bool:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    command += ["--no-deps", "--only-binary=:all:", "--python-version", version]
    command += ["--implementation", "cp", "--platform", "manylinux2014_x86_64"]
    for platform in PLATFORMS:
        command += ["--platform", f"manylinux_{platform}_x86_64"]
    command += ["--dest", str(folder), f"{name}=={pin}" if pin else name]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
