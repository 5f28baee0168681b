"""Networks: the two files must belong together, and batches and threads must not show."""

import io
import json
import pickle
import subprocess
import sys
import warnings
from hashlib import sha256

import numpy as np
import pytest

from stempede import inference
from stempede.backend import Backend
from stempede.errors import ModelError
from stempede.inference import Network, check, find

torch = pytest.importorskip("torch")


class Sums(torch.nn.Module):
    """Row sums and the largest pixel; runs out of memory above so many images."""

    def __init__(self, most: int):
        super().__init__()
        self.most = most

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        if x.shape[0] > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return {"rows": x.sum(2), "top": x.amax((1, 2))}


def scripted(most):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(Sums(most))


def write(folder, most=10**6, **changes):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(scripted(most), buffer)
    path = folder / "sums.pt"
    path.write_bytes(buffer.getvalue())
    card = {
        "name": "sums",
        "kind": "sums",
        "sha256": sha256(path.read_bytes()).hexdigest(),
        "input_shape": [5, 7],
        "pixel_scale_nm": None,
        "batch": {"cpu": 16, "gpu": 64, "bytes": 140},
        **changes,
    }
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def load(path, **parameters):
    return Network.load(path, Backend.choose("cpu"), **{"kind": "sums", **parameters})


def images(n=41):
    return np.random.default_rng(0).normal(size=(n, 5, 7)).astype(np.float32)


def test_answers_do_not_depend_on_batches(tmp_path):
    stack = images()
    for size in (1, 7, 16, 64):
        path = write(tmp_path, batch={"cpu": size})
        found = load(path)(stack)
        np.testing.assert_allclose(found["rows"], stack.sum(axis=2), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found["top"], stack.max(axis=(1, 2)))


class Counting(torch.nn.Module):
    """Says how often it was called."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.calls += 1
        return {"calls": torch.full((x.shape[0],), self.calls)}


def test_a_network_has_run_before_its_first_images(tmp_path, monkeypatch):
    # the calls of a module without parameters are kept in the file's own attribute
    monkeypatch.setattr(sys.modules[__name__], "scripted", lambda _: torch.jit.script(Counting()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = load(write(tmp_path))
    assert network(images(3))["calls"].tolist() == [3, 3, 3]


def test_no_images_give_no_rows(tmp_path):
    found = load(write(tmp_path))(images()[:0])
    assert found["rows"].shape == (0, 5)
    assert found["top"].shape == (0,)


def test_batches_are_halved_when_memory_runs_out(tmp_path):
    stack = images()
    found = load(write(tmp_path, most=3))(stack)
    np.testing.assert_array_equal(found["top"], stack.max(axis=(1, 2)))
    nothing = write(tmp_path)
    broke = load(nothing)
    object.__setattr__(broke, "module", scripted(0))
    with pytest.raises(MemoryError, match="a single image"):
        broke(stack)


def test_a_batch_takes_a_share_of_the_free_memory(tmp_path, monkeypatch):
    path = write(tmp_path, batch={"cpu": 10**6, "bytes": 1000})
    monkeypatch.setattr(Backend, "free_bytes", lambda self: 80_000)
    assert load(path).batch == 20
    monkeypatch.setattr(Backend, "free_bytes", lambda self: 0)
    assert load(path).batch == 1


def test_other_errors_of_a_network_are_not_hidden(tmp_path):
    broken = load(write(tmp_path))
    object.__setattr__(broken, "module", lambda _: (_ for _ in ()).throw(RuntimeError("shape")))
    with pytest.raises(RuntimeError, match=r"^shape$"):
        broken(images())


def test_images_of_another_size_are_refused(tmp_path):
    network = load(write(tmp_path))
    for shape in ((3, 7, 5), (5, 7), (3, 1, 5, 7)):
        with pytest.raises(ModelError, match=r"takes \(n, 5, 7\) images; found"):
            network(np.zeros(shape, np.float32))


def test_a_card_must_be_there_and_whole(tmp_path):
    path = write(tmp_path)
    card = path.with_suffix(".json")
    card.write_text('{"name": "sums"}')
    with pytest.raises(ModelError, match="lacks kind, sha256, input_shape"):
        load(path)
    card.write_text("[]")
    with pytest.raises(ModelError, match="lacks name"):
        load(path)
    card.write_text("not json")
    with pytest.raises(ModelError, match="not JSON"):
        load(path)
    card.unlink()
    with pytest.raises(ModelError, match="wants its card beside it"):
        load(path)


def test_truncated_and_swapped_weights_are_told_by_their_hash(tmp_path):
    path = write(tmp_path)
    whole = path.read_bytes()
    for wrong in (whole[:-100], whole[::-1], b""):
        path.write_bytes(wrong)
        with pytest.raises(ModelError, match="cut short or belongs to another card"):
            load(path)


def test_what_is_not_torchscript_is_never_unpickled(tmp_path):
    marker = tmp_path / "marker"

    class Trap:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    saved = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, saved)
    for content in (pickle.dumps(Trap()), b"plain text", saved.getvalue()):
        path = write(tmp_path)
        path.write_bytes(content)
        card = json.loads(path.with_suffix(".json").read_text())
        card["sha256"] = sha256(content).hexdigest()
        path.with_suffix(".json").write_text(json.dumps(card))
        with pytest.raises(ModelError, match="should be TorchScript"):
            load(path)
    assert not marker.exists()


def test_another_kind_and_another_scale_are_refused(tmp_path):
    path = write(tmp_path, pixel_scale_nm=0.05)
    with pytest.raises(ModelError, match=r"kind 'shape' is wanted; the card of .* says 'sums'"):
        load(path, kind="shape")
    with pytest.raises(ModelError, match=r"expects 0.05 nm/px, the images have 0.021 nm/px"):
        load(path, pixel_size_nm=0.021)
    assert load(path, pixel_size_nm=0.052).card.pixel_scale_nm == 0.05
    # a network without a scale takes any
    assert load(write(tmp_path), pixel_size_nm=3.0).card.pixel_scale_nm is None


def test_an_unknown_name_tells_what_is_shipped():
    with pytest.raises(ModelError, match=r"shipped one \(.*shape.*\); found 'shpae'"):
        find("shpae")


def test_without_torch_the_message_says_what_to_install_and_what_works():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from stempede.backend import Backend\n"
        "from stempede.inference import Network, check, find\n"
        "print(check(find('shape'), kind='shape').kind)\n"
        "try:\n"
        "    Network.load('shape', Backend.choose('cpu'), kind='shape', without='do without')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kind, message = done.stdout.strip().splitlines()
    assert kind == "shape"
    assert message.startswith("ModelError network 'shape' wants torch")
    assert message.endswith(f"{inference.INSTALL}, or do without")


def test_a_network_written_anew_is_read_anew(tmp_path):
    path = write(tmp_path)
    first = load(path)
    assert load(path).module is first.module
    assert check(write(tmp_path, most=7), kind="sums").sha256 != first.card.sha256
    assert load(path).module is not first.module
