"""Runs and Hugging Face directories: the same logits, tokens and greedy texts, both ways."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers as hf
import torch
from polyhead_system import check_told, info, inside
from safetensors.torch import load_file, save_file
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

import polyhead
from polyhead.config import TokenizerConfig
from polyhead.data.korean_english import generate
from polyhead.data.tokenizers import train
from polyhead.export.huggingface import _write_tokenizer as write_tokenizer

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.xdist_group("huggingface")
LINES = [
    "the cat sat on the mat, and the dog ran!",
    "어제 친구를 만났어요.",
    "a b c d e f g h 1 2 3",
]


def byte_level(folder: Path) -> int:
    """GPT-2's kind of tokenizer in the old files, its end token first; returns its size."""
    inner = hf.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
    )  # fmt: skip
    inner.train_from_iterator(LINES, trainer)
    inner.model.save(str(folder))
    vocabulary = inner.get_vocab()
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    config = {"tokenizer_class": "GPT2Tokenizer", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return len(vocabulary)


def word_pieces(folder: Path) -> int:
    """BERT's kind of tokenizer, as tokenizer.json."""
    inner = hf.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = hf.normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    inner.train_from_iterator(
        LINES, trainers.WordPieceTrainer(vocab_size=80, special_tokens=special, show_progress=False)
    )
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    inner.save(str(folder / "tokenizer.json"))
    names = {"cls": 2, "sep": 3, "mask": 4, "pad": 0, "unk": 1}
    config = {f"{name}_token": special[i] for name, i in names.items()}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return inner.get_vocab_size()


@torch.no_grad()
def shaken(model: Any) -> Any:
    """Weights large enough for every part to be seen, biases and norms too."""
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        norm = any(part in name for part in ("ln_", "LayerNorm", "layer_norm"))
        center = 1.0 if norm and name.endswith("weight") else 0.0
        parameter.copy_(center + 0.15 * torch.randn(parameter.shape))
    return model.eval()


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    size = byte_level(folder)
    config = transformers.GPT2Config(
        vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=48,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    shaken(transformers.GPT2LMHeadModel(config)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["BertForMaskedLM", "BertForPreTraining"])
def bert(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    small_bert(folder, request.param)
    return folder


def imported(source: Path, out: Path) -> Path:
    outcome = inside("import", source, "--out", out)
    assert outcome.code == 0, outcome.err
    assert outcome.lines[0] == str(out)
    assert float(outcome.lines[1].split(": ")[1].split(",")[0]) < 1e-4
    return out


def same_weights(first: Path, second: Path) -> None:
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_gpt2_in_and_out_again(gpt2: Path, tmp_path: Path) -> None:
    run = imported(gpt2, tmp_path / "run")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(gpt2).eval()
    cutter = transformers.AutoTokenizer.from_pretrained(gpt2)
    model = polyhead.load(run)
    for line in LINES:
        ids = cutter(line)["input_ids"]
        assert model.explain(line).ids == ids
        ours = model.model.head(model.model(torch.tensor([ids])))
        torch.testing.assert_close(ours, theirs(torch.tensor([ids])).logits, atol=1e-4, rtol=0)
    (found,) = model.generate([LINES[0]], greedy=True, max_tokens=12)
    prompt = cutter(LINES[0], return_tensors="pt")
    written = theirs.generate(**prompt, do_sample=False, max_new_tokens=12)[0]
    assert cutter.decode(written, skip_special_tokens=True) == LINES[0] + found.text
    made = inside("export", run, "--to", "huggingface", "--out", tmp_path / "back")
    assert made.code == 0, made.err
    assert "4 texts and random tokens" in made.lines[1]
    same_weights(gpt2, tmp_path / "back")
    auto = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back")
    assert type(auto).__name__ == "GPT2LMHeadModel"
    back = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    assert [back(line)["input_ids"] for line in LINES] == [
        cutter(line)["input_ids"] for line in LINES
    ]
    assert back.pad_token == "<|endoftext|>"
    last = len(back) - 1  # the last merge is a token like any other
    assert back.decode([last], skip_special_tokens=True) == back.decode([last]) != ""


def test_a_gpt_that_ends_texts_with_another_token_is_refused(gpt2: Path, tmp_path: Path) -> None:
    theirs = Path(shutil.copytree(gpt2, tmp_path / "theirs"))
    config = json.loads((theirs / "config.json").read_text(encoding="utf-8"))
    for end, code in ((7, 2), ([7, 0], 0), (50256, 0), (None, 0)):
        changed = json.dumps(config | {"eos_token_id": end})
        (theirs / "config.json").write_text(changed, encoding="utf-8")
        outcome = inside("import", theirs, "--out", tmp_path / f"run{end}")
        assert outcome.code == code, outcome.err
        assert ("(eos_token_id 7), and here '<|endoftext|>' does" in outcome.err) == (code == 2)


def test_a_line_that_spells_a_special_token_does_not_keep_a_run_from_going_out(
    gpt2: Path, tmp_path: Path
) -> None:
    run = imported(gpt2, tmp_path / "run")
    (tmp_path / "test.txt").write_text("the <|endoftext|> cat\n", encoding="utf-8")
    recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
    assert "test: []" in recipe
    named = recipe.replace("test: []", f"test: {tmp_path / 'test.txt'}")
    (run / "recipe.yaml").write_text(named, encoding="utf-8")
    made = inside("export", run, "--to", "huggingface", "--out", tmp_path / "back")
    assert made.code == 0, made.err
    assert "1 lines of the test data" in made.lines[1]


def test_a_fine_tuned_gpt_is_taken_in_without_its_head(gpt2: Path, tmp_path: Path) -> None:
    theirs = Path(shutil.copytree(gpt2, tmp_path / "theirs"))
    model = transformers.GPT2ForSequenceClassification.from_pretrained(gpt2, num_labels=3)
    model.save_pretrained(theirs)
    outcome = inside("import", theirs, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "Left out: score.weight." in outcome.err
    assert float(outcome.lines[1].split(": ")[1].split(",")[0]) < 1e-4
    run, whole = polyhead.load(tmp_path / "run"), polyhead.load(imported(gpt2, tmp_path / "whole"))
    options = {"greedy": True, "max_tokens": 12}
    assert run.generate(LINES[:1], **options) == whole.generate(LINES[:1], **options)


def test_a_run_that_was_taken_in_has_nothing_to_resume(gpt2: Path, tmp_path: Path) -> None:
    run = imported(gpt2, tmp_path / "run")
    outcome = inside("train", "--resume", run)
    check_told(outcome, 1, "there is no checkpoint in", "polyhead finetune RECIPE --from")


def test_bert_in_and_out_again(bert: Path, tmp_path: Path) -> None:
    run = imported(bert, tmp_path / "run")
    cutter = transformers.AutoTokenizer.from_pretrained(bert)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(bert).eval()
    text = "The cat [MASK] on the mat"
    (candidates,) = polyhead.load(run).fill(text, top=3)
    batch = cutter(text, return_tensors="pt")
    place = batch["input_ids"][0].tolist().index(cutter.mask_token_id)
    logits = theirs(**batch).logits[0, place]
    logits[:5] = -torch.inf  # [PAD] [UNK] [CLS] [SEP] [MASK] are never candidates
    best = logits.softmax(-1).topk(3)
    assert [c["probability"] for c in candidates] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert [c["token"] for c in candidates] == cutter.convert_ids_to_tokens(best.indices.tolist())
    made = inside("export", run, "--to", "huggingface", "--out", tmp_path / "back")
    assert made.code == 0, made.err
    same_weights(bert, tmp_path / "back")
    back = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    pairs = [(LINES[0], LINES[1]), (LINES[2], text)]
    for first, second in pairs:
        wanted = cutter(first, second, return_token_type_ids=True)
        assert back(first, second).data == wanted.data
        assert set(wanted["token_type_ids"]) == {0, 1}


def small_bert(folder: Path, architecture: str, **settings: Any) -> Any:
    """A BERT of transformers' own in a folder."""
    config = transformers.BertConfig(
        vocab_size=word_pieces(folder), hidden_size=32, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=40, **settings,
    )  # fmt: skip
    model = shaken(getattr(transformers, architecture)(config))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("architecture", ["BertModel", "BertForMultipleChoice"])
def test_a_bert_without_a_head_of_use_is_taken_in_as_an_encoder(
    architecture: str, tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    small_bert(tmp_path / "theirs", architecture)
    outcome = inside("import", tmp_path / "theirs", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "no head for masked tokens in this directory: the run's is fresh" in outcome.err
    assert ("Left out: classifier.bias" in outcome.err) == (architecture != "BertModel")
    assert "the run's is fresh" in (tmp_path / "run/README.md").read_text(encoding="utf-8")
    theirs = transformers.BertModel.from_pretrained(tmp_path / "theirs").eval()
    batch = transformers.AutoTokenizer.from_pretrained(tmp_path / "theirs")(
        LINES[0], return_tensors="pt"
    )
    wanted = theirs(**batch)
    model = polyhead.load(tmp_path / "run")
    mean = wanted.last_hidden_state[0].mean(dim=0).detach()
    torch.testing.assert_close(torch.tensor(model.embed(LINES[:1])[0]), mean, atol=1e-4, rtol=0)
    pooled = model.model.next_sentence.pooler(model.model(batch["input_ids"]))
    torch.testing.assert_close(pooled, wanted.pooler_output, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("architecture", "task", "settings"),
    [
        ("SequenceClassification", "classification", {"id2label": {0: "no", 1: "perhaps", 2: "y"}}),
        ("SequenceClassification", "classification", {}),
        ("SequenceClassification", "regression", {"num_labels": 1}),
        ("TokenClassification", "tagging", {"id2label": {0: "O", 1: "B-X", 2: "I-X"}}),
        ("QuestionAnswering", "question_answering", {}),
    ],
)
def test_a_fine_tuned_bert_goes_in_as_its_task_and_out_again(
    architecture: str, task: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    model = small_bert(theirs, f"BertFor{architecture}", **settings)
    run = imported(theirs, tmp_path / "run")
    assert info(run)["task"] == task
    line = "the cat sat\tthe cat sat on the mat" if task == "question_answering" else LINES[0]
    (said,) = polyhead.load(run).classify([line])
    cutter = transformers.AutoTokenizer.from_pretrained(theirs)
    with torch.no_grad():
        found = model(**cutter(line, return_tensors="pt"))
    if task == "classification":
        p = found.logits[0].softmax(-1)
        assert said["label"] == model.config.id2label[int(p.argmax())]
        assert said["probability"] == pytest.approx(float(p.max()), abs=1e-4)
    if task == "regression":
        assert said["label"] == pytest.approx(float(found.logits), abs=1e-4)
    if task == "tagging":
        assert len(said["tags"]) == len(line.split())
        assert set(said["tags"]) <= set(settings["id2label"].values())
    made = inside("export", run, "--to", "huggingface", "--out", tmp_path / "back")
    assert made.code == 0, made.err
    same_weights(theirs, tmp_path / "back")
    configs = [transformers.AutoConfig.from_pretrained(at) for at in (theirs, tmp_path / "back")]
    assert configs[0].id2label == configs[1].id2label


def in_half(model_class: Any, source: Path, folder: Path) -> Path:
    """A copy of a directory with its weights in bfloat16."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model_class.from_pretrained(source, dtype=torch.bfloat16).save_pretrained(folder)
    stored = load_file(folder / "model.safetensors").values()
    assert {tensor.dtype for tensor in stored} == {torch.bfloat16}
    return folder


def test_weights_in_half_precision_are_taken_in(gpt2: Path, rival: Path, tmp_path: Path) -> None:
    imported(in_half(transformers.GPT2LMHeadModel, gpt2, tmp_path / "a"), tmp_path / "gpt2")
    made = inside("export", rival, "--to", "huggingface", "--out", tmp_path / "whole")
    assert made.code == 0, made.err
    half = in_half(transformers.MarianMTModel, tmp_path / "whole", tmp_path / "half")
    imported(half, tmp_path / "marian")


def test_an_imported_run_is_a_run(gpt2: Path, tmp_path: Path) -> None:
    run = imported(gpt2, tmp_path / "run")
    assert info(run)["complete"] is True
    assert info(run)["imported_from"]["model_type"] == "gpt2"
    assert "taken in from" in (run / "README.md").read_text(encoding="utf-8")
    check_told(inside("evaluate", run), 1, "the recipe names no test data")
    check_told(inside("import", gpt2, "--out", run), 2, "exists already")
    assert len(inside("generate", run, "--prompt", "the", "--json").json()) == 1


def test_marian_in_and_out_again(rival: Path, tmp_path: Path) -> None:
    made = inside("export", rival, "--to", "huggingface", "--out", tmp_path / "marian")
    assert made.code == 0, made.err
    run = imported(tmp_path / "marian", tmp_path / "run")
    lines = ["어제 친구를 만났어요.", "책을 읽었다."]
    first, second = (polyhead.load(one) for one in (rival, run))
    assert first.translate(lines, beam=2) == second.translate(lines, beam=2)
    assert first.score(lines, lines) == pytest.approx(second.score(lines, lines), abs=1e-4)


@torch.no_grad()
def small_marian(folder: Path, size: int, **changes: Any) -> Any:
    """A MarianMTModel of transformers' own, whose output has a bias, in a folder."""
    sides = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))
    }
    config = transformers.MarianConfig(
        vocab_size=size, d_model=32, **sides, max_position_embeddings=40, eos_token_id=0,
        pad_token_id=size - 1, decoder_start_token_id=size - 1, **changes,
    )  # fmt: skip
    model = shaken(transformers.MarianMTModel(config))
    model.final_logits_bias.normal_()
    for part in (model.model.encoder, model.model.decoder):
        part.embed_positions.weight.copy_(part.embed_positions.create_weight())
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    "changes",
    [{}, {"activation_function": "swish", "scale_embedding": True}],
    ids=["as transformers makes them", "OPUS-MT's shape"],
)
def test_marians_of_others_go_in_and_out(changes: dict[str, Any], tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    tokenizer = train(TokenizerConfig(kind="unigram", vocab_size=100), LINES * 3)
    write_tokenizer(theirs, tokenizer, 40)
    small_marian(theirs, tokenizer.size, **changes)
    run = imported(theirs, tmp_path / "run")
    model = polyhead.load(run)
    keys = model.run.recipe.model
    activation = "silu" if changes else "gelu"
    assert (keys.activation, keys.scale_embeddings) == (activation, bool(changes))
    assert keys.output_bias is True
    plain = model.translate(LINES, beam=2, max_length=12)
    assert any(plain)
    pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed")
    assert polyhead.load(run, engine="ctranslate2").translate(LINES, beam=1, max_length=12) == (
        model.translate(LINES, beam=1, max_length=12)
    )
    back = tmp_path / "back"
    made = inside("export", run, "--to", "huggingface", "--out", back)
    assert made.code == 0, made.err
    same_weights(theirs, back)


def opus_tokenizers(folder: Path) -> list[str]:
    """source.spm, target.spm and vocab.json as OPUS-MT has them; returns the tokens by id."""
    pairs = list(generate(seed=1, pairs=200))
    sides = {"source": [p.korean for p in pairs], "target": [p.english for p in pairs]}
    pieces: set[str] = set()
    for side, texts in sides.items():
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_prefix=str(folder / side), vocab_size=600,
            hard_vocab_limit=False, num_threads=1, minloglevel=2,
        )  # fmt: skip
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        pieces |= {model.id_to_piece(i) for i in range(3, model.get_piece_size())}
    words = ["</s>", "<unk>", ">>eng<<", *sorted(pieces), "<pad>"]
    table = {word: i for i, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(table), encoding="utf-8")
    config = json.dumps({"tokenizer_class": "MarianTokenizer"})
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")
    return words


def test_an_opus_directory_has_a_tokenizer_for_each_language(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    words = opus_tokenizers(theirs)
    small_marian(theirs, len(words), activation_function="swish", scale_embedding=True)
    change_config(  # as their config.json says, for the transformers of their time
        theirs, num_beams=6, max_length=512, bad_words_ids=[[len(words) - 1]], bos_token_id=0,
        static_position_embeddings=True, normalize_before=False, add_final_layer_norm=False,
    )  # fmt: skip
    run = imported(theirs, tmp_path / "run")
    model = polyhead.load(run)
    cutter = transformers.AutoTokenizer.from_pretrained(theirs)
    pairs = list(generate(seed=2, pairs=100))
    odd = [
        *(LINES[1], "친구  를 ", unicodedata.normalize("NFD", "친구를 만났어요"), "ＡＢＣ x\ty"),
        *("뷁 뷁뷁!", "", ">>eng<< 친구", ">>eng<<친구를", "a < b </ c"),
    ]
    source, target = model.task.source_tokenizer, model.task.target_tokenizer
    for own, name, texts in (
        (source, "text", [*odd, *(p.korean for p in pairs), pairs[0].english]),
        (target, "text_target", [*odd, *(p.english for p in pairs), pairs[0].korean]),
    ):
        found = own.encode_all(texts)
        assert found == [row[:-1] for row in cutter(**{name: texts})["input_ids"]]
        assert own.decode_all(found) == [
            " ".join(cutter.decode(row, skip_special_tokens=True).split()) for row in found
        ]
        assert 0 not in own.encode("a </s> b")
    assert source.encode(pairs[0].korean) != target.encode(pairs[0].korean)
    told = inside("export", run, "--to", "huggingface", "--out", tmp_path / "back")
    check_told(told, 2, "its languages have a tokenizer each")
    lines = [p.korean for p in pairs[:4]]
    moved = run.rename(tmp_path / "moved")
    written = polyhead.load(moved).translate(lines, beam=1, max_length=9)
    assert written == model.translate(lines, beam=1, max_length=9)
    pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed")
    engine = polyhead.load(moved, engine="ctranslate2")
    assert engine.translate(lines, beam=1, max_length=9) == written


def test_damaged_opus_tokenizers_are_told(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    words = opus_tokenizers(theirs)
    small_marian(theirs, len(words))
    out = ("--out", tmp_path / "run")
    table = {word: i for i, word in enumerate(words) if i != 7}
    (theirs / "vocab.json").write_text(json.dumps(table), encoding="utf-8")
    check_told(inside("import", theirs, *out), 1, "vocab.json is damaged: tokens with the ids 0, 1")
    (theirs / "vocab.json").write_text("[", encoding="utf-8")
    check_told(inside("import", theirs, *out), 1, "vocab.json is damaged")
    (theirs / "vocab.json").write_text(
        json.dumps({word: i for i, word in enumerate(words)}), encoding="utf-8"
    )
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 9), model_prefix=str(theirs / "bpe"), vocab_size=60,
        model_type="bpe", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (theirs / "bpe.model").rename(theirs / "target.spm")
    check_told(inside("import", theirs, *out), 2, "target.spm cannot be taken in", "kind unigram")
    (theirs / "target.spm").write_bytes(b"nothing")
    check_told(inside("import", theirs, *out), 1, "target.spm is damaged")


@pytest.fixture
def copy(gpt2: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(gpt2, tmp_path / "copy"))


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(config), encoding="utf-8")


def test_pickles_are_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    outcome = inside("import", copy, "--out", tmp_path / "run")
    check_told(outcome, 2, "pytorch_model.bin, a pickle", "Only safetensors are read")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"model_type": "llama"}, 2, "of type 'llama'; there are gpt2, openai-gpt, bert, marian"),
        ({"model_type": ["gpt2"]}, 1, "config.json is damaged: a value has the wrong type"),
        ({"n_embd": None}, 1, "config.json is damaged: a value has the wrong type"),
        ({"activation_function": "tanh"}, 2, "its activation is tanh (known: gelu_new, gelu, relu"),
        ({"tie_word_embeddings": False}, 2, "its output has weights of its own"),
        ({"n_layer": 3}, 1, "missing: transformer.h.2.ln_1.weight"),
        ({"n_inner": 65}, 1, "needed (32, 65)"),
        ({"n_layer": 1}, 1, "unknown: transformer.h.1."),
        ({"n_head": 5}, 2, "d_model 32 is not divisible by num_heads 5"),
    ],
)
def test_what_does_not_fit_is_told(
    copy: Path, tmp_path: Path, changes: dict[str, Any], code: int, said: str
) -> None:
    change_config(copy, **changes)
    check_told(inside("import", copy, "--out", tmp_path / "run"), code, said)


SIDES = [f"{side}_{key}" for side in ("encoder", "decoder")
         for key in ("layers", "attention_heads", "ffn_dim")]  # fmt: skip
MARIAN = {"model_type": "marian", "vocab_size": 50, "eos_token_id": 0, "pad_token_id": 49,
          "decoder_start_token_id": 49, **dict.fromkeys(SIDES, 4)}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "gpt2", "layer_norm_epsilon": 1e-6}, "another epsilon than 1e-5"),
        ({"model_type": "gpt2", "scale_attn_weights": False}, "scores are scaled in another way"),
        (
            {"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True},
            "scores are scaled in another way",
        ),
        ({"model_type": "gpt2", "add_cross_attention": True}, "it attends to another model"),
        ({"model_type": "openai-gpt", "afn": "gelu_new"}, "is gelu_new (known: gelu, relu, silu)"),
        ({"model_type": "bert", "hidden_act": "relu"}, "its activation is relu, and ours gelu"),
        (
            {"model_type": "bert", "position_embedding_type": "relative_key"},
            "its positions are relative_key, and ours absolute",
        ),
        ({"model_type": "bert", "type_vocab_size": 3}, "it tells 3 kinds of text apart, and ours"),
        ({"model_type": "bert", "is_decoder": True}, "it is a decoder"),
        (MARIAN | {"decoder_layers": 5}, "its encoder and decoder have different sizes"),
        (MARIAN | {"encoder_ffn_dim": 5}, "its encoder and decoder have different sizes"),
        (MARIAN | {"eos_token_id": 2}, "its end token is not 0"),
        (MARIAN | {"pad_token_id": 1}, "or its pad token, which starts the decoder, is not the"),
        (MARIAN | {"decoder_start_token_id": 1}, "which starts the decoder, is not the last"),
        (MARIAN | {"decoder_vocab_size": 60}, "its languages have an embedding each"),
        (MARIAN | {"activation_function": "tanh"}, "its activation is tanh (known: relu, gelu, "),
    ],
    ids=lambda value: value if isinstance(value, str) else value["model_type"],
)
def test_what_our_models_compute_otherwise_is_refused_with_the_reason(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    told = inside("import", tmp_path, "--out", tmp_path / "run")
    check_told(told, 2, "cannot be taken in", said)
    assert said in told.err.partition("cannot be taken in: ")[2].partition(";")[0], "alone"


def test_a_marian_that_transformers_cannot_load_is_told(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    tokenizer = train(TokenizerConfig(kind="unigram", vocab_size=100), LINES * 3)
    write_tokenizer(theirs, tokenizer, 40)
    small_marian(theirs, tokenizer.size)
    out = ("--out", tmp_path / "run")
    last = tokenizer.size  # as if there were one more
    ids = dict.fromkeys(("pad_token_id", "decoder_start_token_id"), last)
    change_config(theirs, vocab_size=last + 1, decoder_vocab_size=last + 1, **ids)
    check_told(inside("import", theirs, *out), 1, f"transformers cannot load {theirs}")
    change_config(theirs, vocab_size=None)
    check_told(inside("import", theirs, *out), 1, "config.json is damaged: a value has the wrong")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architectures": {"a": 1}}, "is damaged"),
        ({"id2label": ["no", "yes"]}, "is damaged: a value has the wrong type"),
        ({"hidden_size": None}, "model.d_model"),
    ],
    ids=str,
)
def test_a_damaged_config_of_a_bert_that_answers_is_told(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    small_bert(tmp_path, "BertForSequenceClassification")
    change_config(tmp_path, **settings)
    told = inside("import", tmp_path, "--out", tmp_path / "run")
    check_told(told, 1 if "damaged" in said else 2, said)


def in_shards(source: Path, folder: Path) -> Path:
    """A copy of a directory whose weights lie in several files."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model = transformers.GPT2LMHeadModel.from_pretrained(source)
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


def test_weights_in_several_files_are_taken_in(gpt2: Path, tmp_path: Path) -> None:
    theirs = in_shards(gpt2, tmp_path / "shards")
    same_weights(imported(gpt2, tmp_path / "whole"), imported(theirs, tmp_path / "run"))
    index, out = theirs / "model.safetensors.index.json", ("--out", tmp_path / "none")
    content = json.loads(index.read_text(encoding="utf-8"))
    for damaged in ({}, {"weight_map": ["a"]}, {"weight_map": {"a": 5}}, {"weight_map": None}):
        index.write_text(json.dumps(damaged), encoding="utf-8")
        check_told(inside("import", theirs, *out), 1, "index.json is damaged")
    index.write_text(json.dumps(content), encoding="utf-8")
    sorted(theirs.glob("model-*.safetensors"))[1].unlink()
    check_told(inside("import", theirs, *out), 1, "model-00002-of", "damaged or not a safetensors")


def test_a_tokenizer_without_a_token_that_the_task_needs_is_told(
    copy: Path, tmp_path: Path
) -> None:
    inner = hf.Tokenizer(models.WordLevel({"the": 0, "cat": 1}, unk_token="the"))
    inner.save(str(copy / "tokenizer.json"))
    told = inside("import", copy, "--out", tmp_path / "run")
    check_told(told, 2, "has no token for the end of a document (</s> or <|endoftext|> or [SEP])")


def test_a_broken_directory_is_told(copy: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run")
    check_told(inside("import", tmp_path / "none", *out), 2, "is no directory")
    (copy / "model.safetensors").write_bytes(b"nothing")
    check_told(inside("import", copy, *out), 1, "damaged or not a safetensors file")
    (copy / "model.safetensors").unlink()
    check_told(inside("import", copy, *out), 2, "has no model.safetensors")
    (copy / "config.json").write_text("{", encoding="utf-8")
    check_told(inside("import", copy, *out), 1, "config.json is damaged")
    (copy / "config.json").unlink()
    check_told(inside("import", copy, *out), 2, "has no config.json")


def test_a_tokenizer_that_does_not_match_the_embedding_is_told(copy: Path, tmp_path: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["transformer.wte.weight"] = weights["transformer.wte.weight"][:-3].clone()
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    outcome = inside("import", copy, "--out", tmp_path / "run")
    check_told(outcome, 1, "tokens, but the embedding has", "they do not belong together")


@pytest.mark.parametrize(
    ("norm", "model_type"), [("pre", "gpt2"), ("post", "openai-gpt")], ids=["gpt2", "gpt1"]
)
def test_both_shapes_of_gpt_go_out_and_in_again(tmp_path: Path, norm: str, model_type: str) -> None:
    run = trained_gpt(tmp_path, norm=norm)
    outcome = inside("export", run, "--to", "huggingface", "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "the valid data" in outcome.lines[1]
    assert json.loads((tmp_path / "out/config.json").read_text())["model_type"] == model_type
    again = imported(tmp_path / "out", tmp_path / "again")
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, again))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_what_gpt1_cannot_hold_is_told(tmp_path: Path) -> None:
    run = trained_gpt(tmp_path, norm="post", d_ff=32, activation="gelu")
    outcome = inside("export", run, "--to", "huggingface", "--out", tmp_path / "a")
    check_told(outcome, 2, "its activation is gelu", "there they have 4 times the model's width")


def trained_gpt(folder: Path, **model: Any) -> Path:
    text = folder / "a.txt"
    text.write_text("the cat sat on the mat\n" * 40, encoding="utf-8")
    recipe = {
        "name": "lm", "task": "language_modeling",
        "model": {"kind": "gpt", "d_model": 16, "num_layers": 2, "num_heads": 2, "d_ff": 64,
                  "max_length": 16, **model},
        "data": {"train": str(text), "valid": str(text), "context": 16},
        "tokenizer": {"kind": "char"},
        "training": {"max_steps": 2, "batch_tokens": 64},
    }  # fmt: skip
    return Path(polyhead.train(recipe, folder / "run").path)


def test_an_imported_bert_is_fine_tuned(bert: Path, tmp_path: Path) -> None:
    run = imported(bert, tmp_path / "run")
    for name in ("train", "valid"):
        lines = [f"{LINES[i % 2]}\t{'ab'[i % 2]}" for i in range(8)]
        text = "\n".join(["text\tlabel", *lines]) + "\n"
        (tmp_path / f"{name}.tsv").write_text(text, encoding="utf-8")
    columns = {"text_column": "text", "label_column": "label"}
    recipe = {
        "name": "tuned", "task": "classification", "model": {"kind": "bert"},
        "data": {n: {"file": f"{n}.tsv", **columns} for n in ("train", "valid")},
        "training": {"max_steps": 12, "batch_tokens": 256, "lora": {"rank": 2},
                     "optimizer": {"lr": 0.01}, "schedule": {"kind": "constant"}},
    }  # fmt: skip
    path = tmp_path / "tuned.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    outcome = inside("finetune", path, "--from", run, "--out", tmp_path / "tuned")
    assert outcome.code == 0, outcome.err
    lines = inside("classify", tmp_path / "tuned", "-", stdin=LINES[0].encode()).lines
    assert [line.split("\t")[0] for line in lines] == ["a"]
