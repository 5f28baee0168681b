"""The command line end to end, in this process: exit status, files, words."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from stempede.cli import main
from stempede.cli.app import parse_bytes, parse_slice


def stempede(*arguments):
    """Run a command; return its exit status."""
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return left.value.code or 0


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    changes = ["--set", "mean_size_nm=8", "--set", "touching=0"]
    done = stempede(
        "simulate", "particles", "--out", folder, "--frames", 2, "--size", 300, "--quiet", *changes
    )
    assert done == 0
    return folder


@pytest.fixture(scope="module")
def run(sample, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    options = ["--workers", 1, "--device", "cpu", "--quiet", "--sample", "A"]
    assert stempede("run", sample / "session.zarr", "--out", out, *options) == 0
    return out


def test_run_leaves_tables_a_report_and_its_provenance(run, sample):
    record = json.loads((run / "run.json").read_text())
    assert record["state"] == "done"
    assert record["reduced"]
    assert (run / "report.html").stat().st_size > 10_000
    particles = pq.read_table(run / "particles").to_pandas()
    truth = pq.read_table(sample / "truth" / "particles.parquet").to_pandas()
    whole = truth[truth["complete"]]
    found = particles[particles["accepted"]]
    assert abs(len(found) - len(whole)) <= 2
    assert found["equivalent_diameter_nm"].mean() == pytest.approx(
        whole["equivalent_diameter_nm"].mean(), rel=0.03
    )
    assert set(pq.read_table(run / "frames").to_pandas()["sample"]) == {"A"}


def test_the_effect_of_the_threshold_is_measured(run):
    table = pq.read_table(run / "sensitivity").to_pandas()
    session = table[table["scope"] == "session"].set_index("threshold_scale")
    assert session.loc[1.0, "mean_shift"] == 0
    # a lower level draws wider outlines
    assert session.loc[0.9, "mean_shift"] > 0 > session.loc[1.1, "mean_shift"]


def test_a_finished_run_says_so(run, capsys):
    assert stempede("resume", run) == 0
    assert "nothing is left to do" in capsys.readouterr().out


def test_exclusions_change_the_reductions_and_leave_a_trail(run, tmp_path):
    before = pq.read_table(run / "particles").to_pandas()
    row = before[before["accepted"]].iloc[0]
    listing = tmp_path / "exclude.csv"
    listing.write_text(f"frame,particle,reason\n{row['frame']},{row['particle']},dirt\n")
    assert stempede("resume", run, "--exclude", listing, "--quiet", "--workers", 1) == 0
    after = pq.read_table(run / "particles").to_pandas()
    assert after["accepted"].sum() == before["accepted"].sum() - 1
    assert "dirt" in str(pq.read_table(run / "exclusions").to_pandas().to_dict())
    ensemble = pq.read_table(run / "ensemble").to_pandas()
    assert {"accepted", "before exclusions"} <= set(ensemble["selection"])


def test_export_writes_a_label_map_per_image_and_a_csv_per_table(run, tmp_path):
    done = stempede("export", run, "--labels", tmp_path / "labels", "--csv", tmp_path / "csv")
    assert done == 0
    maps = sorted((tmp_path / "labels").glob("*.tif"))
    assert len(maps) == 2
    labels = tifffile.imread(maps[0])
    assert labels.dtype == np.uint32
    assert labels.shape == (300, 300)
    assert (tmp_path / "csv" / "particles.csv").is_file()


def test_json_is_one_object(sample, tmp_path, capsys):
    out = tmp_path / "run"
    assert stempede("run", sample / "session.zarr", "--out", out, "--workers", 1, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == 2
    assert summary["unit"] == "nm"
    assert summary["mean_ci"] is None


def test_dry_run_writes_nothing(sample, tmp_path, capsys):
    out = tmp_path / "run"
    assert stempede("run", sample / "session.zarr", "--out", out, "--dry-run") == 0
    words = capsys.readouterr().out
    assert "2 of 300 x 300 px" in words
    assert "memory" in words
    assert not out.exists()


def test_preview_draws_one_frame(sample, tmp_path):
    image = tmp_path / "look.png"
    assert stempede("preview", sample / "session.zarr", "--frame", 1, "--out", image) == 0
    assert image.read_bytes().startswith(b"\x89PNG")
    assert stempede("preview", sample / "session.zarr", "--frame", 7, "--out", image) == 2


def test_ingest_then_frames_subset(tmp_path, capsys):
    rng = np.random.default_rng(1)
    for k in range(3):
        tifffile.imwrite(tmp_path / f"im {k}.tif", rng.integers(0, 900, (40, 60)).astype("u2"))
    session = tmp_path / "s.zarr"
    options = ["--pixel-size-nm", 0.5, "--frames", "1:", "--quiet"]
    assert stempede("ingest", tmp_path, session, *options) == 0
    table = pq.read_table(session / "frames.parquet").to_pandas()
    assert len(table) == 2
    assert set(table["pixel_size_nm"]) == {0.5}


def test_all_mistakes_of_a_recipe_are_said_at_once(sample, tmp_path, capsys, caplog):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'name = "r"\n[[stage]]\nuse = "particles.segmant"\n'
        '[[stage]]\nuse = "particles.accept"\nclump_ratoi = 2.0\n'
    )
    out = tmp_path / "run"
    assert stempede("run", sample / "session.zarr", "--out", out, "--recipe", recipe) == 2
    words = capsys.readouterr().err
    assert "segmant" in words
    assert "clump_ratoi" in words
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty", None), ("text.tif", b"not a picture"), ("cut.tif", b"II*\0\x08\0\0\0")],
)
def test_nothing_to_read_is_no_success(tmp_path, name, content):
    source = tmp_path / "in"
    source.mkdir()
    if content:
        (source / name).write_bytes(content)
    out = tmp_path / "run"
    status = stempede("run", source, "--out", out, "--quiet", "--workers", 1)
    assert status == (1 if content else 2)
    assert out.exists() == bool(content)
    if content:
        problems = pq.read_table(out / "problems").to_pandas()
        assert problems["source"][0].endswith(name)


def test_a_folder_with_files_is_not_written_to(sample, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert stempede("run", sample / "session.zarr", "--out", tmp_path) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_gpu_that_is_not_there_is_not_replaced_silently(sample, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("stempede.backend.gpu_problem", lambda: "CuPy is not importable (no)")
    out = tmp_path / "run"
    assert stempede("run", sample / "session.zarr", "--out", out, "--device", "gpu") == 2
    assert "use --device cpu" in capsys.readouterr().err
    assert not out.exists()


def test_stages_and_doctor_describe_the_machine(capsys):
    assert stempede("stages", "--json") == 0
    assert "particles.segment" in json.loads(capsys.readouterr().out)["stage"]
    assert stempede("doctor") == 0
    assert "device auto" in capsys.readouterr().out


def test_amounts_and_ranges():
    assert parse_bytes("4GiB") == 4 << 30
    assert parse_bytes("500 MB") == 500_000_000
    assert parse_bytes("2e9") == 2_000_000_000
    assert parse_slice("0:20") == slice(0, 20)
    assert parse_slice("::10") == slice(None, None, 10)
    assert parse_slice("7") == slice(7, 8)
    for text in ("a:b", "1:2:3:4"):
        with pytest.raises(Exception, match="frames wants"):
            parse_slice(text)
    for text in ("lots", "-1GiB"):
        with pytest.raises(Exception, match="memory"):
            parse_bytes(text)
