"""Drawn masks: how they are read and refused, folds by image, and a training from the shell."""

import csv
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from stempede.cli import main
from stempede.errors import InputError, ModelError
from stempede.io.masks import pair, read_mask

torch = pytest.importorskip("torch")

from stempede.models import card, export  # noqa: E402
from stempede.models.unet import UNet  # noqa: E402
from stempede.models.unet_folds import (  # noqa: E402
    Example,
    jaccard,
    origin_of,
    scan,
    split,
    tuned,
)
from stempede.models.unet_train import UNetTraining  # noqa: E402

SHAPE = (40, 61)


def saved(path, values):
    Image.fromarray(np.asarray(values)).save(path)
    return path


def two_squares(first=255, second=255):
    values = np.zeros(SHAPE, np.uint8)
    values[5:15, 5:15], values[20:35, 30:50] = first, second
    return values


def test_an_image_gives_256_tiles_at_most():
    training = UNetTraining(tiles=500, epochs=10)
    assert tuned(training, 8).tiles == 204
    assert tuned(training, 40).tiles == 500
    assert tuned(UNetTraining(tiles=5, epochs=9999), 1).tiles == 1


def test_two_values_are_a_mask_and_each_region_a_particle(tmp_path):
    labels = read_mask(saved(tmp_path / "a.png", two_squares()), SHAPE)
    assert labels.max() == 2
    assert labels[7, 7] != labels[25, 40] != 0
    assert np.count_nonzero(labels) == 100 + 300


def test_more_values_are_labels_that_may_touch(tmp_path):
    values = two_squares(3, 9)
    values[20:35, 50:55] = 4
    labels = read_mask(saved(tmp_path / "a.tif", values.astype(np.uint16)), SHAPE)
    assert len(np.unique(labels)) == 4
    assert labels[25, 49] != labels[25, 50] != 0


def test_colours_are_labels_too(tmp_path):
    values = np.zeros((*SHAPE, 3), np.uint8)
    values[5:15, 5:15], values[5:15, 15:25] = (255, 0, 0), (0, 255, 0)
    labels = read_mask(saved(tmp_path / "a.png", values), SHAPE)
    assert labels.max() == 2
    assert labels[7, 7] != labels[7, 17]


def test_outlines_of_imagej_are_particles(tmp_path):
    from roifile import ImagejRoi, roiwrite

    corners = np.array([[5, 5], [15, 5], [15, 15], [5, 15]])
    rois = [ImagejRoi.frompoints(corners), ImagejRoi.frompoints(corners + np.array([25, 15]))]
    path = tmp_path / "a.zip"
    roiwrite(path, rois)
    labels = read_mask(path, SHAPE)
    assert labels.max() == 2
    assert labels[10, 10] == 1
    assert labels[25, 35] == 2
    assert 80 <= np.count_nonzero(labels == 1) <= 121


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros(SHAPE, np.uint8), "empty"),
        (np.full(SHAPE, 255, np.uint8), "empty"),
        (np.zeros((30, 30), np.uint8) + np.eye(30, dtype=np.uint8), "its image 40 x 61"),
        (np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8), "neither two values"),
    ],
    ids=["nothing", "everything", "size", "grey"],
)
def test_masks_that_are_none_are_refused(tmp_path, values, words):
    with pytest.raises(InputError, match=words):
        read_mask(saved(tmp_path / "a.png", values), SHAPE)


def test_files_that_are_no_masks_are_refused(tmp_path):
    for name in ("a.png", "b.tif", "c.zip"):
        (tmp_path / name).write_bytes(b"no picture at all")
        with pytest.raises(InputError, match=f"'{name}'"):
            read_mask(tmp_path / name, SHAPE)


def test_masks_are_found_by_the_name_of_their_image(tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    images = [tmp_path / "one.tif", tmp_path / "two.tif"]
    with pytest.raises(InputError, match="found no mask"):
        pair(images, masks)
    saved(masks / "one.png", two_squares())
    assert pair(images, masks) == {images[0]: masks / "one.png"}
    saved(masks / "three.png", two_squares())
    with pytest.raises(InputError, match=r"without an image of their name: three\.png"):
        pair(images, masks)
    with pytest.raises(InputError, match="no folder"):
        pair(images, tmp_path / "elsewhere")


def example(name, image):
    labels = (image > 1).astype(np.int32)
    return Example(name, image.astype(np.float32), labels, origin_of(image))


def test_turned_copies_of_an_image_share_a_fold():
    rng = np.random.default_rng(3)
    images = [rng.normal(size=(20, 31)) for _ in range(4)]
    every = [example(f"{k}", i) for k, i in enumerate(images)]
    every += [example(f"{k} turned", np.rot90(i)) for k, i in enumerate(images)]
    every += [example("0 mirrored", images[0][:, ::-1])]
    folds = split(every, 3, seed=1)
    assert sorted(k for fold in folds for k in fold) == list(range(9))
    place = {k: number for number, fold in enumerate(folds) for k in fold}
    for k in range(4):
        assert place[k] == place[k + 4]
    assert place[0] == place[8]
    with pytest.raises(ModelError, match="4 of 9 images"):
        split(every, 5, seed=1)


def test_thresholds_are_compared_by_the_mean_over_images():
    truth = np.zeros((10, 10))
    truth[:5] = 2
    probability = np.where(truth > 0, 0.8, 0.6)
    found = scan([example("a", truth)], [{"probability": probability}])
    assert list(found) == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]
    assert found[0.5] == 0.5
    assert found[0.75] == 1.0
    assert found[0.9] == 0.0
    assert jaccard(np.zeros(3, bool), np.zeros(3, bool)) == 1.0


@pytest.fixture
def drawn_set(tmp_path):
    """Four images with discs, their masks, and weights to start from."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    rng = np.random.default_rng(7)
    for number in range(4):
        picture = Image.new("L", (73, 65))
        draw = ImageDraw.Draw(picture)
        for _ in range(4):
            y, x = rng.integers(10, 50, 2)
            draw.ellipse([x - 7, y - 7, x + 7, y + 7], fill=1)
        mask = np.asarray(picture)
        counts = 200 - 60.0 * mask + rng.normal(0, 6, mask.shape)
        saved(images / f"{number}.tif", counts.astype(np.uint16))
        saved(masks / f"{number}.png", 255 * mask)
    torch.manual_seed(1)
    script = export.to_script(UNet(base=2).eval(), freeze=False)
    text = card.unet_card(script, name="unet", particle_px=24.0, batch={"cpu": 1, "bytes": 1})
    start = export.save(script, text, tmp_path, "start")
    return images, masks, start


def arguments(drawn_set, out, *more):
    images, masks, start = map(str, drawn_set)
    few = ["--start", start, "--epochs", "1", "--tiles", "2", "--quiet", "--out", str(out)]
    return ["train", "unet", "--images", images, "--masks", masks, *few, *more]


def run(words):
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code or 0


def test_training_from_masks_leaves_weights_tables_and_figures(drawn_set, tmp_path):
    out = tmp_path / "out"
    assert run(arguments(drawn_set, out, "--folds", "2")) == 0
    rows = list(csv.DictReader((out / "folds.csv").read_text().splitlines()))
    assert [row["fold"] for row in rows] == ["1", "2"]
    assert sorted(", ".join(row["images"] for row in rows).split(", ")) == ["0", "1", "2", "3"]
    assert len((out / "thresholds.csv").read_text().splitlines()) == 1 + 2 * 9
    held = json.loads((out / "unet.json").read_text())["held_out"]
    assert held["folds"] == 2
    assert held["jaccard_mean"] == pytest.approx(np.mean([float(r["jaccard"]) for r in rows]))
    assert {p.name for p in (out / "predictions").iterdir()} == {f"{k}.tif" for k in range(4)}
    assert (out / "diagnostics" / "side-by-side.png").stat().st_size > 1000


def test_fewer_images_than_folds_are_refused(drawn_set, tmp_path):
    assert run(arguments(drawn_set, tmp_path / "out")) == 2


def test_masks_want_images(drawn_set, tmp_path):
    assert run(["train", "unet", "--masks", str(drawn_set[1]), "--out", str(tmp_path / "o")]) == 2
