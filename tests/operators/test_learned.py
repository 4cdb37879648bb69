"""Operators with weights: what they compute, that company changes nothing, and what is said when something is amiss."""

import numpy as np
import pytest
import torch
from learned_files import WITHIN, checkpoint, encoder, generator, generator_file
from vidswap.operators import generate_stylegan, invert_encoders
from vidswap.operators.generate_stylegan import GenerateStyleGAN2, GenerateStyleGAN3
from vidswap.operators.invert_encoders import InvertE4E, InvertPSP, InvertReStyle

from vidswap.faces import regions
from vidswap.graph import Batch, InputError, Pipeline, VidswapError, object_column
from vidswap.graph.operator import Setting
from vidswap.latents import generators, inversion, spaces
from vidswap.nets import devices
from vidswap.runtime.checks import check_ready


class Still:
    """A frame that gives the same crop however it is asked."""

    width = height = 4096

    def __init__(self, image):
        self.image = image

    def crop(self, matrix, size):
        assert size == (256, 256)
        return self.image


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    made = {kind: checkpoint(folder / f"{kind}.pt", kind) for kind in ("e4e", "psp", "restyle-e4e", "restyle-psp")}
    made["sg2"] = generator_file(folder / "sg2.safetensors")
    made["sg3"] = generator_file(folder / "sg3.safetensors", 32, "stylegan3")
    return made


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def faces():
    """Three rows with crops of 256 px of smooth colours."""
    random = np.random.RandomState(2)
    images = [np.kron(random.randint(0, 255, (8, 8, 3)), np.ones((32, 32, 1))).astype(np.uint8) for _ in range(3)]
    matrix = np.repeat(WITHIN[None], 3, 0)
    pictures = object_column(Still(image) for image in images)
    return Batch(frame=np.arange(3), picture=pictures, matrix=matrix, crop=object_column(images))


@pytest.fixture(scope="module")
def codes():
    """Five rows with codes for 32 px, regions and crops of two sizes."""
    net = generator()
    wplus = spaces.broadcast(net, net.mapping(spaces.seeded_z(range(5), 512))).numpy()
    labels = np.full((40, 40), regions.SKIN, np.uint8)
    labels[:, :10], labels[:, 30:] = regions.BACKGROUND, regions.HAIR
    sizes = (40, 48, 40, 40, 40)
    labels = [np.zeros((n, n), np.uint8) if n == 48 else labels for n in sizes]
    crops = object_column(np.zeros((n, n, 3), np.uint8) for n in sizes)
    return Batch(frame=np.arange(5), wplus=wplus, crop=crops, regions=object_column(labels))


def started(operator, **options):
    made = operator(operator.Options(**options))
    made.setup(Setting())
    return made


def alike(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


CASES = {
    "e4e": (InvertE4E, "e4e", {}),
    "psp": (InvertPSP, "psp", {}),
    "restyle": (InvertReStyle, "restyle-e4e", {"steps": 2}),
    "stylegan2": (GenerateStyleGAN2, "sg2", {}),
    "stylegan3": (GenerateStyleGAN3, "sg3", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_row_does_not_depend_on_its_company_nor_on_batch_and_threads(case, files, faces, codes):
    operator, name, more = CASES[case]
    given = faces if operator.kind == "invert" else codes
    if case == "stylegan3":
        given = given.with_columns(wplus=np.repeat(given["wplus"], 2, axis=1))
    column = "wplus" if operator.kind == "invert" else "image"
    whole = started(operator, weights=str(files[name]), device="cpu", **more)(given)[column]
    other = operator(operator.Options(weights=str(files[name]), device="cpu", batch=2, **more))
    other.setup(Setting(threads=3))
    assert alike(other(given)[column], whole)
    assert alike(other(given.take(slice(1, 2)))[column], whole[1:2])
    assert len({row.tobytes() for row in whole}) == len(given)


def as_input(faces):
    return torch.stack([(torch.from_numpy(crop).permute(2, 0, 1) / 255 - 0.5) / 0.5 for crop in faces["crop"]])


@pytest.mark.parametrize(("operator", "kind"), [(InvertE4E, "e4e"), (InvertPSP, "psp")])
def test_codes_are_the_encoders_offsets_from_the_mean(operator, kind, files, faces):
    expected = encoder(kind)(as_input(faces)) + generator().mapping.w_avg
    made = started(operator, weights=str(files[kind]), device="cpu")(faces)["wplus"]
    assert made.dtype == np.float32 and made.shape == (3, 8, 512)
    assert np.abs(made - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize("kind", ["restyle-e4e", "restyle-psp"])
def test_restyle_looks_at_the_face_beside_the_render_of_its_code_so_far(kind, files, faces):
    net, synthesis = encoder(kind, inputs=6), generator().synthesis
    target = as_input(faces)
    code = generator().mapping.w_avg.expand(3, 8, 512)
    for _ in range(2):
        render = torch.nn.functional.interpolate(synthesis(code), size=256, mode="nearest")  # averaged 32 -> 256
        code = code + net(torch.cat((target, render), 1))
    made = started(InvertReStyle, weights=str(files[kind]), device="cpu", steps=2)(faces)["wplus"]
    assert np.abs(made - code.numpy()).max() < 1e-3 * float(code.abs().max())


def test_a_code_of_w_serves_all_rows(tmp_path, faces):
    path = checkpoint(tmp_path / "w.pt", "w")
    made = started(InvertPSP, weights=str(path), device="cpu")(faces.take(slice(0, 1)))["wplus"]
    assert made.shape == (1, 8, 512) and np.array_equal(made[0, 0], made[0, 7])


def test_codes_start_at_zero_where_the_options_say_so(tmp_path, faces, files):
    path = checkpoint(tmp_path / "zero.pt", "e4e", options={"start_from_latent_avg": False})
    one = faces.take(slice(0, 1))
    from_zero = started(InvertE4E, weights=str(path), device="cpu")(one)["wplus"]
    from_mean = started(InvertE4E, weights=str(files["e4e"]), device="cpu")(one)["wplus"]
    assert np.allclose(from_mean - from_zero, generator().mapping.w_avg.numpy(), atol=1e-4)


def test_the_face_is_cut_out_of_the_frame_at_the_encoders_size():
    asked = {}

    class Frame:
        width = height = 4096

        def crop(self, matrix, size):
            asked.update(matrix=matrix, size=size)
            return np.zeros((256, 256, 3), np.uint8)

    matrix = np.array([[2.0, 0, -810], [0, 2.0, -906]])
    invert_encoders.sampled(Frame(), matrix, np.zeros((512, 512, 3), np.uint8))
    # The same square of the frame: the edges of the crop, half a pixel outside, stay where they are.
    assert asked["size"] == (256, 256)
    corner = np.linalg.solve(matrix[:, :2], [-0.5, -0.5] - matrix[:, 2])
    assert asked["matrix"][:, :2] @ corner + asked["matrix"][:, 2] == pytest.approx([-0.5, -0.5])
    corner = np.linalg.solve(matrix[:, :2], [511.5, 511.5] - matrix[:, 2])
    assert asked["matrix"][:, :2] @ corner + asked["matrix"][:, 2] == pytest.approx([255.5, 255.5])


def test_pictures_are_the_generators_in_the_size_of_the_crop(files, codes):
    expected = spaces.to_uint8(generator().synthesis(torch.from_numpy(codes["wplus"]))).numpy()
    plain = started(GenerateStyleGAN2, weights=str(files["sg2"]), device="cpu")(codes.without(["crop", "regions"]))
    assert np.abs(np.stack(plain["image"]).astype(int) - expected).max() <= 1
    fitted = started(GenerateStyleGAN2, weights=str(files["sg2"]), device="cpu")(codes)
    assert [image.shape[0] for image in fitted["image"]] == [40, 48, 40, 40, 40]
    assert all(a.shape == i.shape[:2] for a, i in zip(fitted["alpha"], fitted["image"], strict=True))


def test_the_decoder_of_an_encoders_checkpoint_is_a_generator_too(files, codes):
    alone = started(GenerateStyleGAN2, weights=str(files["sg2"]), device="cpu")(codes)
    beside = started(GenerateStyleGAN2, weights=str(files["e4e"]), device="cpu")(codes)
    assert alike(alone["image"], beside["image"])


def test_the_cover_is_what_was_asked_for(codes):
    labels = codes["regions"][0]
    face, head, square = (generate_stylegan.cover(labels, 40, what) for what in ("face", "head", "square"))
    assert face[20, 20] == head[20, 20] == square[20, 20] == 1
    assert face[20, 5] == head[20, 5] == 0 and square[20, 5] == 1
    assert face[20, 34] == 0 and head[20, 34] == 1
    for alpha in (face, head, square):
        assert alpha.dtype == np.float32 and alpha[0].max() == alpha[:, -1].max() == 0
    assert np.array_equal(generate_stylegan.cover(None, 40, "face"), square)


def test_memory_that_is_short_halves_the_batch_and_says_so(files, codes, monkeypatch):
    operator = started(GenerateStyleGAN2, weights=str(files["sg2"]), device="cpu")
    whole = operator(codes)["image"]
    painter = operator._painter(None)
    painter._batches.size = 8
    seen = []
    inner = painter.synthesis

    def scarce(wplus):
        seen.append(len(wplus))
        if len(wplus) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return inner(wplus)

    painter.synthesis = scarce
    halved = operator(codes)["image"]
    assert seen == [8, 4, 2, 2, 2]
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(halved, whole, strict=True)) <= 1
    first, second = operator.take_warnings()
    assert "out of memory on cpu with batch 8; going on with 4" in first and "going on with 2" in second
    assert operator.take_warnings() == []

    def none(wplus):
        raise torch.OutOfMemoryError("CUDA out of memory")

    painter.synthesis = none
    with pytest.raises(VidswapError, match="not the memory for a single one"):
        operator(codes)


def test_a_network_that_does_not_fit_into_memory_is_one_line(files, monkeypatch):
    def none(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "to", none)
    with pytest.raises(VidswapError, match=r"^[^\n]*cpu has not the memory to load it[^\n]*$"):
        started(GenerateStyleGAN2, weights=str(files["sg2"]), device="cpu")


def test_half_precision_is_checked_in_the_batches_that_are_run(files, monkeypatch):
    loaded, seen = generators.load_generator(str(files["sg2"])), []
    whole = devices.InBatches.__call__

    def watched(self, run, *columns):
        return whole(self, lambda *rows: (seen.append(len(rows[0])), run(*rows))[1], *columns)

    monkeypatch.setattr(devices.InBatches, "__call__", watched)
    painter = generators.Painter(loaded, device=torch.device("cpu"), precision="bf16")
    assert painter.precision == "bf16" and seen == [1, 1]


def test_a_full_cpu_memory_is_told_as_python_tells_it():
    def none(_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    with pytest.raises(MemoryError):
        devices.InBatches(torch.device("cpu"), 4)(none, torch.zeros(2, 1))
    with pytest.raises(RuntimeError, match="other"):
        devices.InBatches(torch.device("cpu"), 4)(lambda _: torch.zeros(1).fill_(_bug()), torch.zeros(2, 1))


def _bug():
    raise RuntimeError("other")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_or_refused(case, precision, files, faces, codes, monkeypatch):
    operator, name, more = CASES[case]
    given = (faces if operator.kind == "invert" else codes).take(slice(0, 1))
    if case == "stylegan3":
        given = given.with_columns(wplus=np.repeat(given["wplus"], 2, axis=1))
    column = "wplus" if operator.kind == "invert" else "image"
    options = {"weights": str(files[name]), "device": "cpu", **more}
    exact = started(operator, **options)(given)[column][0].astype(np.float64)
    low = started(operator, precision=precision, **options)
    made = low(given)[column][0]
    assert np.sqrt(np.square(made - exact).mean() / np.square(exact).mean()) < 0.06
    for module in (generators, inversion):
        monkeypatch.setitem(module.BOUNDS, precision, 1e-9)
    refused = started(operator, precision=precision, **options)
    assert np.array_equal(refused(given)[column][0], exact)
    told = refused.take_warnings()
    assert any(precision in line and "running in fp32" in line for line in told)


@pytest.mark.parametrize("case", CASES)
def test_what_an_owner_of_the_model_is_sent_is_small_and_enough(case, files, faces, codes):
    operator, name, more = CASES[case]
    given = faces if operator.kind == "invert" else codes
    if case == "stylegan3":
        given = given.with_columns(wplus=np.repeat(given["wplus"], 2, axis=1))
    column = "wplus" if operator.kind == "invert" else "image"
    made = started(operator, weights=str(files[name]), device="cpu", **more)
    sent = operator(operator.Options(weights=str(files[name]), **more)).prepare(given.take(slice(1, 3)))
    assert operator.served and not {"picture", "crop", "matrix"} & set(sent.names)
    assert alike(made(sent)[column], made(given.take(slice(1, 3)))[column])


def test_random_weights_are_the_same_every_time_and_said_so(faces):
    first, second = (started(InvertE4E, weights="random", device="cpu") for _ in range(2))
    one = faces.take(slice(0, 1))
    codes = first(one)["wplus"]
    assert codes.shape == (1, 10, 512) and np.array_equal(codes, second(one)["wplus"])
    assert "random" in first.take_warnings()[0] and first.take_warnings() == []
    other = started(InvertE4E, weights="random:32:5", device="cpu")(one)["wplus"]
    assert other.shape == (1, 8, 512)


def broken(tmp_path, files):
    spoilt = {"state_dict": {k: v.clone() for k, v in torch.load(files["e4e"])["state_dict"].items()}}
    spoilt["state_dict"]["encoder.body.5.res_layer.1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(spoilt, tmp_path / "nan.pt")
    state = torch.load(files["e4e"])["state_dict"]
    torch.save({k: v for k, v in state.items() if k != "encoder.body.5.res_layer.1.weight"}, tmp_path / "less.pt")
    torch.save({**state, "encoder.body.99.weight": torch.zeros(2)}, tmp_path / "more.pt")
    torch.save({"layer.weight": torch.zeros(2, 2)}, tmp_path / "unknown.pt")
    checkpoint(tmp_path / "meanless.pt", "e4e", latent_avg=None)
    checkpoint(tmp_path / "odd.pt", "e4e", latent_avg=torch.zeros(7, 512))
    checkpoint(tmp_path / "untold.pt", "restyle-psp", options={"encoder_type": None})
    checkpoint(tmp_path / "rows.pt", "restyle-psp", rows=6)
    (tmp_path / "page.pt").write_text("<html>not yours</html>")
    e4e, sg2, sg3, restyle = (str(files[n]) for n in ("e4e", "sg2", "sg3", "restyle-psp"))
    return {
        "not installed": (InvertE4E, {"weights": "e4e-ffhq"}, "not installed: get e4e_ffhq_encode.pt"),
        "to be fetched": (GenerateStyleGAN2, {}, "not installed: vidswap weights pull stylegan2-ffhq"),
        "unknown name": (InvertE4E, {"weights": "e4e-fhq"}, "did you mean 'e4e-ffhq'"),
        "no file": (InvertE4E, {"weights": "nowhere/e4e.pt"}, "no such file"),
        "a web page": (InvertE4E, {"weights": f"{tmp_path}/page.pt"}, "looks like a web page"),
        "unknown layout": (InvertE4E, {"weights": f"{tmp_path}/unknown.pt"}, "no network that is known"),
        "NaN": (InvertE4E, {"weights": f"{tmp_path}/nan.pt"}, r"body\.5\.res_layer\.1\.weight .*NaN"),
        "missing key": (InvertE4E, {"weights": f"{tmp_path}/less.pt"}, r"body\.5\.res_layer\.1\.weight missing"),
        "extra key": (InvertE4E, {"weights": f"{tmp_path}/more.pt"}, r"body\.99\.weight unexpected"),
        "no mean": (InvertE4E, {"weights": f"{tmp_path}/meanless.pt"}, "holds none .latent_avg"),
        "odd mean": (InvertE4E, {"weights": f"{tmp_path}/odd.pt"}, "its mean code has"),
        "a generator for an encoder": (InvertE4E, {"weights": sg2}, "holds StyleGAN2 generator.*no encoder"),
        "restyle for e4e": (InvertE4E, {"weights": restyle}, "no encoder for invert.e4e"),
        "e4e for restyle": (
            InvertReStyle,
            {"weights": e4e},
            "takes 3 channels; it is one for invert.e4e or invert.psp",
        ),
        "restyle on what": (InvertReStyle, {"weights": f"{tmp_path}/untold.pt"}, "set the option kind to psp or e4e"),
        "rows of restyle": (InvertReStyle, {"weights": f"{tmp_path}/rows.pt"}, "gives 6 rows, its decoder takes 8"),
        "stylegan3 for 2": (GenerateStyleGAN2, {"weights": sg3}, "use generate.stylegan3 for it"),
        "stylegan2 for 3": (GenerateStyleGAN3, {"weights": sg2}, "use generate.stylegan2 for it"),
        "no cuda": (InvertE4E, {"weights": e4e, "device": "cuda"}, "sees no CUDA device here"),
        "no such device": (InvertE4E, {"weights": e4e, "device": "tpu"}, "is none of auto, cpu, cuda"),
        "odd random": (InvertE4E, {"weights": "random:100"}, "of 16, 32"),
    }


CAUSES = (
    *("not installed", "to be fetched", "unknown name", "no file", "a web page", "unknown layout", "NaN"),
    *("missing key", "extra key", "no mean", "odd mean", "a generator for an encoder", "restyle for e4e"),
    *("e4e for restyle", "restyle on what", "rows of restyle", "stylegan3 for 2", "stylegan2 for 3", "no cuda"),
    *("no such device", "odd random"),
)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device is there")
def test_what_is_wrong_is_told_in_one_line_before_any_work(tmp_path, files, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "none"))
    causes = broken(tmp_path, files)
    assert tuple(causes) == CAUSES
    for operator, options, match in causes.values():
        with pytest.raises(InputError, match=match) as told:
            operator(operator.Options(**options)).ready("auto", {})
        assert "\n" not in str(told.value)


def test_a_resolution_that_does_not_fit_is_found_before_any_work(files):
    stages = [
        {"use": "decode.pyav"},
        {"use": "detect.mediapipe"},
        {"use": "align.ffhq"},
        {"use": "invert.e4e", "options": {"weights": "random:64"}},
        {"use": "generate.stylegan2", "options": {"weights": str(files["sg2"])}},
        {"use": "blend.face"},
        {"use": "encode.pyav"},
    ]
    with pytest.raises(InputError, match=r"'generate' .*codes of 10 rows of 512 do not fit .*32 px.* takes 8 of 512"):
        check_ready(Pipeline.from_mapping({"name": "p", "stages": stages}), "cpu")


def test_codes_that_do_not_fit_are_refused_where_they_come_from_elsewhere(files, codes):
    operator = started(GenerateStyleGAN2, weights=str(files["sg2"]), device="cpu")
    with pytest.raises(InputError, match="codes of 7 rows"):
        operator(codes.with_columns(wplus=codes["wplus"][:, :7]))


def test_a_job_knows_weights_by_their_content(files, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path))
    options = InvertE4E.Options
    assert list(InvertE4E(options(weights=str(files["e4e"]))).files()) == [files["e4e"]]
    assert list(InvertE4E(options(weights="e4e-ffhq")).files()) == [tmp_path / "e4e-ffhq.json"]
    assert list(InvertE4E(options(weights="random:64")).files()) == []


def test_a_gpu_is_asked_for_where_the_options_say_so(files):
    cuda = InvertE4E(InvertE4E.Options(weights="random", device="cuda"))
    assert (cuda.resources.gpus, InvertE4E(InvertE4E.Options(weights="random")).resources.gpus) == (1, 0)
    assert cuda.batch_size == 8
