"""Carry out a Dockerfile in a clean root without Docker, and end with what its image would run.

    sudo debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm ROOT
    sudo unshare --mount python3 docker/rehearse.py docker/cpu.Dockerfile ROOT

Every RUN is executed in the root with an empty environment but for the file's own ENV and
ARG; COPY takes from the working copy what `.dockerignore` leaves, or from a stage before,
which here is the same root. FROM is not fetched: the root stands for it, with the Python it
has. After the last line the image's ENTRYPOINT runs as its USER with its CMD, and then with
each `--then`. Needs root for chroot; nothing outside ROOT is written.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

CONTEXT = Path(__file__).resolve().parent.parent
BARE = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


@dataclass
class Image:
    """What the instructions so far amount to."""

    root: Path
    passed: dict[str, str]
    environment: dict[str, str] = field(default_factory=lambda: dict(BARE))
    workdir: str = "/"
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, argv: list[str]) -> None:
        """Execute a command in the root, as the current user, in the current folder."""
        inside = f"cd {shlex.quote(self.workdir)} && exec {shlex.join(argv)}"
        pairs = [f"{name}={value}" for name, value in {**self.passed, **self.environment}.items()]
        clean = ["chroot", f"--userspec={self.user}", str(self.root), "/usr/bin/env", "-i", *pairs]
        subprocess.run([*clean, "sh", "-c", inside], check=True)


def instructions(text: str) -> list[tuple[str, str]]:
    """Return (word, rest) of each instruction, lines that end in a backslash joined."""
    joined = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = joined.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(None, 1)[1]) for line in lines if line.strip()]


def listed(rest: str) -> list[str]:
    """Return the words of a JSON-form instruction, such as CMD."""
    return list(json.loads(rest))


def copy(image: Image, words: list[str]) -> None:
    """Copy files of the context into the root; from another stage, they are there already."""
    if words[0].startswith("--from="):
        return
    *sources, target = words
    place = image.root / (image.workdir + "/" + target).lstrip("/")
    for name in sources:
        source = CONTEXT / name
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, place, dirs_exist_ok=True, ignore=unwanted)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)


def carry_out(image: Image, word: str, rest: str) -> None:
    """Carry out one instruction."""
    print(f"{word} {rest}", flush=True)
    if word == "FROM":
        image.environment, image.workdir, image.user = dict(BARE), "/", "root"
    elif word == "RUN":
        image.run(["sh", "-ec", rest])
    elif word == "COPY":
        copy(image, shlex.split(rest))
    elif word in ("ENV", "ARG"):
        name, _, value = rest.partition("=")
        image.environment[name] = value.replace("$PATH", image.environment["PATH"])
    elif word == "WORKDIR":
        image.workdir = rest
        (image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif word == "USER":
        image.user = rest
    elif word == "ENTRYPOINT":
        image.entrypoint = listed(rest)
    elif word == "CMD":
        image.command = listed(rest)
    elif word != "VOLUME":
        raise SystemExit(f"{word} is not an instruction this rehearsal knows; add it")


def furnish(root: Path, folders: list[Path]) -> None:
    """Mount what every container has, and the folders asked for, until the namespace ends."""
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    for folder in (Path("/dev"), *folders):
        place = root / folder.relative_to("/")
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--rbind", folder, place], check=True)


def main() -> None:
    """Rehearse the Dockerfile named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dockerfile", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument(
        "--then", action="append", default=[], help="arguments for one more run of the entrypoint"
    )
    parser.add_argument(
        "--pass",
        dest="passed",
        action="append",
        default=[],
        help="variable to pass on, such as PIP_INDEX_URL",
    )
    parser.add_argument("--bind", type=Path, action="append", default=[], help="folder to show")
    given = parser.parse_args()
    if not (given.root / "usr/bin/python3").exists():
        sys.exit(
            f"wanted a Debian root with Python at {given.root}; make one with debootstrap, "
            f"as the first lines of {__file__} say"
        )
    furnish(given.root, given.bind)
    image = Image(given.root, {name: os.environ[name] for name in given.passed})
    started = time.monotonic()
    for word, rest in instructions(given.dockerfile.read_text("utf-8")):
        carry_out(image, word, rest)
    for arguments in (image.command, *map(shlex.split, given.then)):
        print(f"--> {shlex.join([*image.entrypoint, *arguments])}", flush=True)
        image.run([*image.entrypoint, *arguments])
    print(f"rehearsed in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
