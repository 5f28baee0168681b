import numpy as np
import pytest

from stempede.backend import Backend
from stempede.errors import InputError
from stempede.frames import Calibration, FrameRecord, Frames

SHAPES = [(20, 31), (20, 31), (17, 40), (20, 31)]


def make_frames(images, **fields):
    records = tuple(
        FrameRecord(k, f"/images/{k}.tif", 0, image.shape, str(image.dtype), **fields)
        for k, image in enumerate(images)
    )
    return Frames(records, lambda record: images[record.frame])


@pytest.fixture
def frames():
    rng = np.random.default_rng(3)
    return make_frames([rng.integers(0, 900, s).astype(np.uint16) for s in SHAPES])


def test_runs_hold_one_shape_and_every_frame_once(frames):
    assert frames.runs(2) == [[0, 1], [2], [3]]
    assert frames.runs(9) == [[0, 1, 3], [2]]
    assert frames.runs(9, max_pixels=1) == [[0], [1], [2], [3]]


def test_read_is_one_upload_of_counts(frames):
    backend = Backend.choose("cpu")
    batch = frames.read([0, 3], backend)
    assert batch.images.dtype == np.float32
    assert batch.frames.tolist() == [0, 3]
    np.testing.assert_array_equal(batch.images[1], frames.reader(frames.records[3]))
    assert batch.maps["valid"].all()
    assert set(backend.ledger.up) == {"read"}
    assert backend.ledger.down == {}


def test_batch_is_not_changed_by_with(frames):
    batch = frames.read([0], Backend.choose("cpu"))
    after = batch.with_(maps={"labels": np.zeros((1, 20, 31), np.int32)})
    assert "labels" not in batch.maps
    assert set(after.maps) == {"valid", "labels"}


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((20, 30), np.nan, np.float32), "no finite pixel"),
        (np.full((20, 30), 7, np.uint8), "one value only"),
        (np.ones((1, 1), np.uint8), "at least 8 x 8"),
    ],
)
def test_frames_without_content_become_problems(pixels, words):
    good = np.arange(600, dtype=np.float64).reshape(20, 30)
    frames = make_frames([pixels, good])
    with pytest.raises(InputError, match=words):
        frames.load(frames.records[0])
    batch = frames.read([0] if pixels.shape != (20, 30) else [0, 1], Backend.choose("cpu"))
    assert [p.frame for p in batch.problems] == [0]
    assert len(batch) == (pixels.shape == (20, 30))


def test_reader_that_raises_anything_becomes_a_problem():
    def broken(record):
        raise KeyError("units")

    frames = Frames((FrameRecord(0, "a.dm4", 0, (20, 30), "uint16"),), broken)
    batch = frames.read([0], Backend.choose("cpu"))
    assert "KeyError" in batch.problems[0].reason


def test_dead_pixels_and_excluded_boxes_are_not_valid():
    image = np.arange(600, dtype=np.float32).reshape(20, 30)
    image[4, 5] = np.inf
    frames = make_frames([image], exclude=((18, 0, 20, 30),))
    batch = frames.read([0], Backend.choose("cpu"))
    assert not batch.maps["valid"][0, 4, 5]
    assert not batch.maps["valid"][0, 18:].any()
    assert batch.maps["valid"].sum() == 18 * 30 - 1
    assert np.isfinite(batch.images).all()


def test_frames_table_has_labels_calibration_and_instrument():
    record = FrameRecord(
        4,
        "/a/b.dm4",
        2,
        (20, 30),
        "int32",
        calibration=Calibration(0.2, 0.3, "file", 0.01),
        labels={"sample": "A", "reaction_time": "5 min"},
        instrument={"kV": 200.0, "vendor_only": 1},
    )
    image = np.arange(600, dtype=np.int32).reshape(20, 30)
    frames = Frames((record,), lambda _: image, label_names=("reaction_time", "sample"))
    table = frames.read([4], Backend.choose("cpu")).tables["frames"]
    assert table["pixel_size_nm"][0] == pytest.approx(np.sqrt(0.06))
    assert table["reaction_time"][0] == "5 min"
    assert table["kV"][0] == 200.0
    assert table["page"][0] == 2
