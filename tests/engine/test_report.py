"""The report of a run: honest pages of full, partial and empty runs, in one file."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tifffile

from stempede.errors import ResultsError
from stempede.frames import Frames
from stempede.io.maps import MapStore
from stempede.io.results import Results
from stempede.io.sources import SourceReader, open_frames
from stempede.particles.ensemble import Ensemble
from stempede.particles.sensitivity import sensitivity
from stempede.report import write_report
from stempede.report.compare import compare_runs
from stempede.report.findings import gather
from stempede.report.folder import RunFolder
from stempede.tables import FRAMES, PARTICLES, PROBLEMS, Table

SHAPE = (120, 170)
NM = 0.5
SIZES_NM = ("major_axis_nm", "minor_axis_nm", "equivalent_diameter_nm", "area_nm2")


def particle_rows(n_frames: int, per_frame: int, calibrated: bool, seed: int = 5) -> Table:
    rng = np.random.default_rng(seed)
    n = n_frames * per_frame
    major = rng.lognormal(np.log(14), 0.15, n)
    minor = major * rng.uniform(0.7, 1, n)
    columns = {
        "frame": np.repeat(np.arange(n_frames), per_frame),
        "particle": np.tile(np.arange(per_frame), n_frames),
        "label": np.tile(np.arange(per_frame) + 1, n_frames),
        "y_px": rng.uniform(0, SHAPE[0], n),
        "x_px": rng.uniform(0, SHAPE[1], n),
        "orientation_deg": rng.uniform(-90, 90, n),
        "aspect_ratio": major / minor,
        "contrast": rng.lognormal(2, 0.2, n),
        "weight": rng.uniform(1, 1.3, n),
        "accepted": np.arange(n) % 5 != 0,
    }
    columns["touches_edge"] = ~columns["accepted"] & (np.arange(n) % 2 == 0)
    reasons = np.where(columns["touches_edge"], "edge", "too <small> & dark")
    columns["reject_reason"] = np.where(columns["accepted"], "", reasons).astype(object)
    sizes = {
        "major_axis": major,
        "minor_axis": minor,
        "equivalent_diameter": np.sqrt(major * minor),
    }
    for name, size in sizes.items():
        columns[f"{name}_px"] = size
        columns[f"{name}_nm"] = size * NM if calibrated else np.full(n, np.nan)
    columns["area_px2"] = np.pi / 4 * major * minor
    columns["area_nm2"] = columns["area_px2"] * NM**2 if calibrated else np.full(n, np.nan)
    return Table(PARTICLES, columns)


def frame_rows(folder: Path, n_frames: int, calibrated: bool, failed: int = 0) -> Table:
    rows = [
        {
            "frame": k,
            "source": str(folder / f"a&b_{k}.tif"),
            "page": 0,
            "height_px": SHAPE[0],
            "width_px": SHAPE[1],
            "sample": "A <1>" if k % 2 else "B",
            "state": "measured" if k >= failed else "problem",
            "background": 100.0 + k,
            "noise": 5.0,
            "focus": 0.3,
            "valid_fraction": 1.0,
            **(
                {"pixel_size_nm": NM, "pixel_size_source": "file", "pixel_size_rel_u": 0.02}
                if calibrated
                else {}
            ),
        }
        for k in range(n_frames)
    ]
    return Table.from_rows(FRAMES, rows)


def make_run(
    folder: Path,
    *,
    n_frames: int = 6,
    per_frame: int = 30,
    calibrated: bool = True,
    failed: int = 0,
    sources: bool = True,
    **document: object,
) -> Path:
    """Write a run folder whose sizes come from the real reduction."""
    frames = frame_rows(folder, n_frames, calibrated, failed)
    particles = particle_rows(n_frames, per_frame, calibrated)
    particles = particles.take(particles["frame"] >= failed)
    problems = [
        {"frame": k, "stage": "read", "reason": "is <script>broken</script>", "source": f"s{k}"}
        for k in range(failed)
    ]
    said = {"state": "done", "reduced": True, "timings": {"read": 1.5}, **document}
    results = Results.create(folder / "run", said, image_files(folder, n_frames, kept=sources))
    results.lock.release()
    tables = Ensemble()({"frames": frames, "particles": particles})
    tables |= {"frames": frames, "particles": particles}
    tables["problems"] = Table.from_rows(PROBLEMS, problems)
    for name, table in tables.items():
        results.write_table(name, table)
    return results.path


def image_files(folder: Path, n: int, kept: bool) -> Frames:
    """Write TIFF files and open them; a run remembers where its pixels are."""
    rng = np.random.default_rng(0)
    files = [folder / f"a&b_{k}.tif" for k in range(n)]
    for file in files:
        tifffile.imwrite(file, rng.integers(90, 110, SHAPE, dtype=np.uint16))
    frames = open_frames([str(f) for f in files]) if files else Frames((), SourceReader())
    if not kept:
        for file in files:
            file.unlink()
    return frames


class Reader(HTMLParser):
    """Collects text and checks that elements close in order."""

    VOID = ("img", "br", "hr", "meta", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.links += [v for k, v in attrs if k in ("src", "href")]
        self.ids += [found["id"]] if "id" in found else []
        if tag == "img":
            assert found.get("alt")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.said.append(data)


def read(page: Path) -> tuple[Reader, str]:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader, " ".join(" ".join(reader.said).split())


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("full"), n_frames=14, wall_s=3.0)
    return run, write_report(run)


def test_page_stands_alone(full):
    reader, _ = read(full[1])
    assert all(link.startswith(("data:", "#")) for link in reader.links)
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link[1:] for link in reader.links if link[0] == "#"} <= set(reader.ids)
    # style sheets load things too
    assert not re.search(r"url\(|@import|https?://", full[1].read_text().split("<body>")[0])
    assert full[1].stat().st_size < 8e6


def test_headline_is_what_the_reduction_found(full):
    run, page = full
    _, text = read(page)
    found = gather(RunFolder.open(run))
    particles = particle_rows(14, 30, calibrated=True)
    kept = particles.take(particles["accepted"])
    mean = np.average(kept["major_axis_nm"], weights=kept["weight"])
    assert found.headline.mean.value == pytest.approx(mean)
    assert "Mean major axis, edge-weighted" in text
    assert f"{mean:.2f}"[:4] in text
    assert "95 % CI" in text
    assert "σ/d" in text
    assert "file, 0.5 nm per px, ± 2.0 % (u_cal)" in text


def test_nothing_vanishes(full):
    found = gather(RunFolder.open(full[0]))
    assert sum(found.outcomes.values()) == len(found.particles) == 14 * 30
    assert next(iter(found.outcomes)) == "accepted"
    _, text = read(full[1])
    assert "too <small> & dark" in text


def test_figures_are_written_twice(full):
    names = {p.stem for p in (full[0] / "figures").glob("*.svg")}
    assert names == {
        p.stem for p in (full[0] / "figures").glob("*.png") if not p.stem.startswith("overlay")
    }
    assert {"size-histogram", "size-qq", "outcomes", "size-by-frame", "samples"} <= names
    assert len(list((full[0] / "figures").glob("overlay-frame-*.png"))) == 6


def test_same_run_gives_same_page(tmp_path, full):
    before = full[1].read_bytes()
    assert write_report(full[0]).read_bytes() == before


def test_text_from_files_is_escaped(tmp_path):
    run = make_run(
        tmp_path,
        n_frames=3,
        per_frame=5,
        failed=2,
        command="stempede run '<img src=x onerror=alert(1)>'",
    )
    page = write_report(run).read_text()
    assert "<script>broken" not in page
    assert "<img src=x" not in page
    _, text = read(run / "report.html")
    assert "is <script>broken</script>" in text
    assert "2 more failed" in text


def test_without_calibration_all_is_px(tmp_path):
    _, text = read(write_report(make_run(tmp_path, calibrated=False)))
    assert "No pixel size is known" in text
    assert "mean, px" in text
    assert not re.search(r"\d nm\b", text)


def test_frames_without_pixel_size_stay_out_of_sizes_in_nm(tmp_path):
    run = make_run(tmp_path, n_frames=8)
    results = Results(run)
    frames, particles = results.read("frames"), results.read("particles")
    bare = frames["frame"] < 2
    columns = {k: np.where(particles["frame"] < 2, np.nan, particles[k]) for k in SIZES_NM}
    frames = frames.with_columns({"pixel_size_nm": np.where(bare, np.nan, NM)})
    particles = particles.with_columns(columns)
    made = Ensemble()({"frames": frames, "particles": particles})
    for name, table in {**made, "frames": frames, "particles": particles}.items():
        results.write_table(name, table)
    found = gather(RunFolder.open(run))
    assert found.unit == "nm"
    assert found.ensemble.frames.tolist() == [2, 3, 4, 5, 6, 7]
    assert found.ensemble.means.max() < 20 * NM
    assert found.sizes()[2] == 6
    _, text = read(write_report(run))
    assert "2 frames without pixel size" in text
    assert "144 of them with lengths in nm" in text


def test_other_thresholds_are_shown_where_measured(tmp_path, full):
    assert "other thresholds were not measured" in read(full[1])[1]
    run = make_run(tmp_path, n_frames=8, per_frame=10)
    results = Results(run)
    frames, particles = results.read("frames"), results.read("particles")
    measured = {
        scale: particles.with_columns({"major_axis_nm": particles["major_axis_nm"] / scale**0.2})
        for scale in (0.9, 1.0, 1.1)
    }
    results.write_table("sensitivity", sensitivity(measured, frames, "major_axis"))
    _, text = read(write_report(run))
    assert "N = 64 particles in 8 frames measured again" in text
    assert "moves by up to 2.1 %" in text
    assert (run / "figures" / "sensitivity.svg").is_file()


def test_few_frames_give_no_interval(tmp_path):
    _, text = read(write_report(make_run(tmp_path, n_frames=3)))
    assert "CI not available" in text
    assert "±" not in text.split("Sizes")[0].replace("± 2.0 % (u_cal)", "")


@pytest.mark.parametrize(
    ("n_frames", "per_frame", "failed", "said"),
    [
        (3, 0, 0, "No region detected"),
        (3, 9, 3, "No frame could be measured"),
        (1, 2, 0, "1 accepted of 2 regions"),
        (0, 0, 0, "No region detected"),
    ],
    ids=["no particles", "all failed", "one particle", "no frames"],
)
def test_thin_runs_give_honest_pages(tmp_path, n_frames, per_frame, failed, said):
    run = make_run(tmp_path, n_frames=n_frames, per_frame=per_frame, failed=failed)
    _, text = read(write_report(run))
    assert said in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


@pytest.mark.parametrize(
    "document",
    [{"state": "interrupted"}, {"state": "running"}, {"state": "done", "reduced": False}],
)
def test_unfinished_runs_say_so(tmp_path, document):
    _, text = read(write_report(make_run(tmp_path, n_frames=1, per_frame=0, **document)))
    assert "Provisional" in text


def test_unfinished_run_is_reduced_without_its_cut_off_chunk(tmp_path):
    recipe = '[[reduce]]\nuse = "particles.ensemble"\nsize = "equivalent_diameter"\n'
    run = make_run(tmp_path, state="running", reduced=False, recipe=recipe)
    results = Results(run)
    frames, particles = results.read("frames"), results.read("particles")
    results.write_table("frames", frames.take(np.arange(5)))
    for name in ("ensemble", "size_fits", "size_qq", "frame_sizes"):
        (run / name / "part-00000.parquet").unlink()
    found = gather(RunFolder.open(run))
    kept = particles.take(particles["accepted"] & (particles["frame"] < 5))
    mean = np.average(kept["equivalent_diameter_nm"], weights=kept["weight"])
    assert found.headline.mean.value == pytest.approx(mean)
    assert found.outcomes["accepted"] == len(kept)
    assert not list((run / "ensemble").iterdir())


def test_run_json_alone_gives_a_page(tmp_path):
    (tmp_path / "run.json").write_text('{"state": "running"}')
    _, text = read(write_report(tmp_path))
    assert "Provisional" in text
    assert "No region detected" in text


def test_missing_sources_are_said(tmp_path):
    _, text = read(write_report(make_run(tmp_path, n_frames=1, per_frame=1, sources=False)))
    assert "cannot be read again" in text


def test_label_maps_are_drawn_where_kept(tmp_path):
    run = make_run(tmp_path, n_frames=1, per_frame=1)
    labels = np.zeros((1, *SHAPE), np.int32)
    labels[0, 20:50, 30:80] = 2
    MapStore(run).write("labels", [0], labels)
    _, text = read(write_report(run))
    assert "Outlines are those of the label maps" in text


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(ResultsError, match=r"run\.json"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ResultsError, match="not JSON"):
        write_report(tmp_path)


def test_runs_side_by_side(tmp_path):
    for name, calibrated in (("a", True), ("b", False), ("c", True)):
        (tmp_path / name).mkdir()
        make_run(tmp_path / name, calibrated=calibrated, per_frame=0 if name == "c" else 20)
    text = compare_runs([tmp_path / name / "run" for name in "abc"])
    head, first, second, third, *notes = text.splitlines()
    assert head.split()[:2] == ["run", "size"]
    assert "major axis, nm" in first
    assert "major axis, px" in second
    assert "no particles" in third
    assert sum("not comparable" in n for n in notes) == 1
