"""``stempede train unet``: the network that finds particles, on simulation or on drawn masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from stempede.cli.app import AsJson, Quiet
from stempede.cli.progress import Phases
from stempede.cli.train import train
from stempede.errors import InputError

if TYPE_CHECKING:
    from stempede.models.unet_folds import Example, Fold
    from stempede.models.unet_make import MadeUNet

# as many as fit a page
_MOST_SHOWN = 6


@train.command("unet")
def unet(
    images: Annotated[
        str, typer.Option(help="Folder, glob or file of images; none: simulated scenes alone.")
    ] = "",
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of masks: PNG, TIFF or ImageJ ROI zips, named like the images."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of weights, card, tables and figures.")
    ] = Path("unet-network"),
    folds: Annotated[int, typer.Option(min=2, help="Folds, by image, of --images.")] = 5,
    start: Annotated[
        str, typer.Option(help="Weights that --images start from: unet, or a .pt file.")
    ] = "unet",
    epochs: Annotated[int, typer.Option(min=0, help="Passes; 0: 20, or 10 from masks.")] = 0,
    tiles: Annotated[
        int, typer.Option(min=0, help="Tiles in each pass; 0: 800, or 96 from masks.")
    ] = 0,
    base: Annotated[
        int, typer.Option(min=1, help="Channels at full resolution, of simulated scenes.")
    ] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train the U-Net on simulated scenes, or on drawn masks by folds; goes on where it stopped.

    Use it with --set particles.segment.method=unet --set particles.segment.weights=OUT/unet.pt
    """
    from stempede.inference import require_torch

    require_torch("unet")
    from stempede.models.unet_folds import tuned
    from stempede.models.unet_make import load, make_simulated, make_tuned
    from stempede.models.unet_train import UNetTraining

    if bool(images) != (masks is not None):
        raise InputError("--images and --masks go together; give both, or neither")
    with Phases(quiet=quiet or as_json) as news:
        if masks is None:
            training = UNetTraining(base, tiles or 800, epochs or 20, seed=seed)
            made = make_simulated(training, out, device=device, news=news)
        else:
            drawn = _read(images, masks)
            first = load(start)
            training = UNetTraining(
                first.base, tiles or 96, epochs or 10, peak_rate=1e-3, seed=seed
            )
            training = tuned(training, len(drawn))
            made = make_tuned(
                [d.example for d in drawn],
                training,
                out,
                start=start,
                folds=folds,
                device=device,
                news=news,
            )
            made = replace(made, files=[*made.files, *_show(drawn, made.folds, out)])
    if as_json:
        typer.echo(made.weights.with_suffix(".json").read_text("utf-8").strip())
    elif not quiet:
        typer.echo("\n".join(_lines(made)))
        typer.echo(made.weights)


def _lines(made: MadeUNet) -> list[str]:
    held = made.card["held_out"]
    if not made.folds:
        return [
            f"scenes judged   {held['tiles']} that did not train",
            f"Jaccard index   {held['jaccard']['0.75']:.3f} of all their pixels at 0.75",
        ]
    lines = [
        f"fold {fold.number}          Jaccard {fold.row['jaccard']:.3f} at 0.75, "
        f"{fold.row['jaccard_there']:.3f} at {fold.row['threshold_by_training']:.2f}   "
        f"({fold.row['images']})"
        for fold in made.folds
    ]
    mean, sd = held["jaccard_mean"], held["jaccard_sd"]
    return [*lines, f"all folds       {mean:.3f} ± {sd:.3f} at 0.75, images that did not train"]


@dataclass(frozen=True)
class _Drawn:
    """An image with what was drawn on it, at full size and as the network sees it."""

    name: str
    image: np.ndarray
    valid: np.ndarray
    labels: np.ndarray
    factor: float
    example: Example


def _read(source: str, masks: Path) -> list[_Drawn]:
    """Read images with masks, flattened and turned as a run does it."""
    from stempede.backend import Backend
    from stempede.io.masks import pair, read_mask
    from stempede.io.sources import open_frames
    from stempede.models.unet_folds import origin_of
    from stempede.prepare import FirstUsable
    from stempede.recipe import Recipe

    recipe, backend = Recipe.load("particles"), Backend.choose("cpu")
    frames = open_frames(source)
    places = [Path(record.source) for record in frames.records]
    twice = sorted({p.name for p in places if sum(q.stem == p.stem for q in places) > 1})
    if twice:
        raise InputError(
            f"several images are called {', '.join(twice)}; save one image per file, each with a "
            "name of its own"
        )
    pairs = pair(places, masks)
    first = FirstUsable(frames, recipe.prepare_frames, backend)
    prepared: dict[str, dict[str, Any]] = {}
    for prepare in recipe.of_kind("prepare"):
        prepared[prepare.name] = first.find(prepare, prepared)
    stages = [s for s in recipe.of_kind("stage") if s.name.startswith("preprocess.")]
    found = []
    for record, place in zip(frames.records, places):
        if place not in pairs:
            continue
        batch = frames.read([record.frame], backend)
        if batch.problems:
            raise InputError(f"'{place.name}' {batch.problems[0].reason}")
        labels = read_mask(pairs[place], record.shape)
        origin = origin_of(batch.images[0])
        batch = replace(batch, prepared=prepared)
        for stage in stages:
            batch = stage(batch)
        found.append(_drawn(place.stem, batch.images[0], batch.maps["valid"][0], labels, origin))
    return found


def _drawn(
    name: str, image: np.ndarray, valid: np.ndarray, labels: np.ndarray, origin: str
) -> _Drawn:
    """Bring an image and its labels to the network's scale."""
    from stempede.backend import Backend
    from stempede.inference import standardised
    from stempede.models.unet_folds import Example
    from stempede.models.unet_make import PARTICLE_PX
    from stempede.particles.learned import (
        factor_for,
        labels_resampled,
        resampled,
        typical_diameter_of,
    )

    # what was drawn knows better than a vote which way the contrast goes
    inside, outside = image[(labels > 0) & valid], image[(labels == 0) & valid]
    if inside.size and outside.size and inside.mean() < outside.mean():
        image = -image
    factor = factor_for(typical_diameter_of(labels), PARTICLE_PX)
    seen, known = resampled(image, valid, factor, Backend.choose("cpu"))
    truth = labels_resampled(labels, factor)
    example = Example(name, standardised(seen, known), truth, origin)
    return _Drawn(name, image, valid, labels, factor, example)


def _show(drawn: list[_Drawn], folds: tuple[Fold, ...], out: Path) -> list[Path]:
    """Write what was found on images that did not train: labels, and a figure beside the masks."""
    import tifffile

    from stempede.backend import Backend
    from stempede.models.unet_figures import side_by_side
    from stempede.particles.learned import Cuts, at_full_size, looked

    backend, cuts = Backend.choose("cpu"), Cuts()
    files, rows = [], []
    folder = out / "predictions"
    folder.mkdir(exist_ok=True)
    for fold in folds:
        for k, answer in zip(fold.scored, fold.answers):
            one: Any = drawn[k]
            found = looked(answer, one.factor, cuts)
            labels = at_full_size(found, one.image, one.valid, cuts.threshold, backend)
            path = folder / f"{one.name}.tif"
            tifffile.imwrite(path, labels.astype(np.uint16), compression="zlib")
            files.append(path)
            rows.append((one.name, one.image, one.labels, labels))
    return [*files, side_by_side(out / "diagnostics" / "side-by-side.png", rows[:_MOST_SHOWN])]
