"""The tokenizer against CLIP's algorithm, written out here from its description."""

import gzip
import html
import json
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geomclip.data.tokenizer import Tokenizer, byte_symbols, clean
from geomclip.errors import RequestError

CORPUS = (
    "a photo of a dog, the dog’s bowl & two cats; it's 12 o'clock! lower lowest newest widest "
    "cats and dogs photographing photographs of the photographer don't they're café naïve 日本 😀"
).split()

# ---- CLIP's byte-pair encoding in a few lines: strings of symbols, no library, quadratic


def reference_symbols() -> dict[int, str]:
    table = {b: chr(b) for b in range(256) if chr(b).isprintable() and chr(b) != " "}
    free = (chr(256 + i) for i in range(256))
    return {b: table[b] if b in table else next(free) for b in range(256)}


def reference_words(text: str) -> list[str]:
    """A cleaned text in parts: contractions, runs of letters, single digits, other runs."""
    words: list[str] = []
    i = 0

    def kind(char: str) -> str:
        return "s" if char.isspace() else unicodedata.category(char)[0]

    while i < len(text):
        ending = next((e for e in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
                       if text.startswith(e, i)), None)  # fmt: skip
        start = i
        if ending:
            i += len(ending)
        elif kind(text[i]) == "s":
            i += 1
            continue
        elif kind(text[i]) == "L":
            while i < len(text) and kind(text[i]) == "L":
                i += 1
        elif kind(text[i]) == "N":
            i += 1
        else:
            while i < len(text) and kind(text[i]) not in "sLN":
                i += 1
        words.append(text[start:i])
    return words


def reference_spelling(word: str) -> tuple[str, ...]:
    symbols = [reference_symbols()[byte] for byte in word.encode("utf-8")]
    return (*symbols[:-1], symbols[-1] + "</w>")


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    i = 0
    while i < len(word):
        if word[i : i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def reference_encode(text: str, merges: list[tuple[str, str]]) -> list[str]:
    rank = {pair: i for i, pair in enumerate(merges)}
    tokens: list[str] = []
    text = " ".join(html.unescape(html.unescape(unicodedata.normalize("NFC", text))).split())
    for part in reference_words(text.lower()):
        word = reference_spelling(part)
        while pairs := [p for p in pairwise(word) if p in rank]:
            word = merged(word, min(pairs, key=rank.__getitem__))
        tokens += word
    return tokens


def reference_merges(words: list[str], count: int) -> list[tuple[str, str]]:
    spelled = [reference_spelling(part) for w in words for part in reference_words(w.lower())]
    merges: list[tuple[str, str]] = []
    for _ in range(count):
        pairs = Counter(p for word in spelled for p in pairwise(word))
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        spelled = [merged(word, best) for word in spelled]
    return merges


MERGES = reference_merges(CORPUS, 70)
SYMBOLS = sorted(reference_symbols().values())
VOCAB = [
    *SYMBOLS, *(s + "</w>" for s in SYMBOLS), *(a + b for a, b in MERGES),
    "<|startoftext|>", "<|endoftext|>",
]  # fmt: skip


@pytest.fixture(scope="module")
def bpe_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bpe") / "bpe_simple_vocab.txt.gz"
    lines = ['"bpe_simple_vocab.txt#version: 0.2', *(f"{a} {b}" for a, b in MERGES), ""]
    path.write_bytes(gzip.compress("\n".join(lines).encode("utf-8")))
    return path


@pytest.fixture(scope="module")
def clip(bpe_file) -> Tokenizer:
    return Tokenizer.from_clip(bpe_file)


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer.train(CORPUS * 2, vocab_size=560)


# ---- the layout


def test_byte_symbols_are_clips():
    assert byte_symbols() == SYMBOLS and len(set(SYMBOLS)) == 256
    assert byte_symbols()[:3] == ["!", '"', "#"]
    # The space, byte 32, is the 33rd byte without a printable character of its own.
    assert byte_symbols()[188 + 32] == chr(256 + 32) == "Ġ"


def test_vocabulary_has_clips_layout(clip):
    assert clip.vocab_size == 512 + len(MERGES) + 2
    assert (clip.sot, clip.eot, clip.pad) == (582, 583, 0)
    # "!" and "a" are the first and the 65th printable byte; at a word's end 256 later.
    assert clip.encode(["! a"]) == [[256, 256 + 64]]
    # The merges follow in their order: the first two-letter word that is one is that merge.
    rank, word = next((i, a + b) for i, (a, b) in enumerate(MERGES) if (a + b).endswith("</w>"))
    assert clip.encode([word.removesuffix("</w>")]) == [[512 + rank]]


def test_published_size_takes_the_published_number_of_merges(bpe_file):
    # 49,408 entries take merges 1 to 48,894 of a longer file; here 520 entries take the first six.
    small = Tokenizer.from_clip(bpe_file, vocab_size=520)
    assert (small.vocab_size, small.sot, small.eot) == (520, 518, 519)


def test_merges_by_hand(tmp_path):
    path = tmp_path / "bpe.txt"
    path.write_text("#version: 0.2\nl o\nlo w</w>\ne r</w>\nw er</w>\n", encoding="utf-8")
    tokenizer = Tokenizer.from_clip(path)
    low, er, wer = 513, 514, 515
    # In "low" the w ends the word; in "lower" it does not, so "lo w</w>" does not apply.
    assert tokenizer.encode(["low", "lower", "Low er"]) == [[low], [512, wer], [low, er]]


# ---- agreement with the algorithm

ALPHABET = "abcdeghlnoprstwy'’.,!&;#12²½ \t\n\u00a0éñÉÑßİΣσ日本😀👍🏽<|>/_-"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=ALPHABET, max_size=40) | st.lists(st.sampled_from(CORPUS)).map(" ".join))
def test_ids_are_those_of_clips_algorithm(clip, trained, text):
    assert clip.encode([text]) == [[VOCAB.index(t) for t in reference_encode(text, MERGES)]]


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet=ALPHABET, max_size=40))
def test_decoding_gives_the_words_back(clip, trained, text):
    words = " ".join(reference_words(clean(text)))
    for tokenizer in (clip, trained):
        assert tokenizer.decode(tokenizer.encode([text])[0]) == words
        assert tokenizer.decode(tokenizer([text], 200)[0].tolist()) == words


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  A  Photo\tof\n a DOG ", "a photo of a dog"),
        ("fish &amp;amp; chips", "fish & chips"),
        ("&lt;b&gt;", "<b>"),
        ("Cafe\u0301", "café"),
        ("", ""),
    ],
)
def test_clean_up(clip, text, cleaned):
    assert clean(text) == cleaned
    assert clip.encode([text]) == clip.encode([cleaned])


def test_hugging_faces_files_give_the_same_ids(clip, tmp_path):
    vocab, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    vocab.write_text(json.dumps({t: i for i, t in enumerate(VOCAB)}), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in MERGES)]
    merges.write_text("\n".join(lines) + "\n", encoding="utf-8")
    theirs = Tokenizer.from_clip(vocab, merges)
    assert (theirs.vocab_size, theirs.sot, theirs.eot) == (clip.vocab_size, clip.sot, clip.eot)
    assert theirs.encode(CORPUS) == clip.encode(CORPUS)


def test_a_file_is_read_by_its_name(clip, bpe_file, tmp_path):
    clip.save(tmp_path / "tokenizer.json")
    vocab = clip._backend.get_vocab(with_added_tokens=True)
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    merges = json.loads(clip._backend.to_str())["model"]["merges"]
    (tmp_path / "merges.txt").write_text("".join(f"{a} {b}\n" for a, b in merges))
    for path in (bpe_file, tmp_path / "tokenizer.json", tmp_path / "vocab.json"):
        assert Tokenizer.read(path).encode(CORPUS) == clip.encode(CORPUS)
    assert Tokenizer.read(bpe_file, vocab_size=520).vocab_size == 520


def test_saved_and_loaded_it_is_the_same(clip, trained, tmp_path):
    for tokenizer in (clip, trained):
        tokenizer.save(tmp_path / "tokenizer.json")
        again = Tokenizer.load(tmp_path / "tokenizer.json")
        assert (again.vocab_size, again.sot, again.eot) == (
            tokenizer.vocab_size, tokenizer.sot, tokenizer.eot,
        )  # fmt: skip
        assert again(CORPUS, 9).equal(tokenizer(CORPUS, 9))


def test_the_saved_file_alone_encodes_for_other_readers(clip, tmp_path):
    from tokenizers import Tokenizer as Backend

    clip.save(tmp_path / "tokenizer.json")
    backend = Backend.from_file(str(tmp_path / "tokenizer.json"))
    text = "  A photo of  the DOG’s café "
    ids = backend.encode(text).ids
    assert ids == clip([text], len(ids))[0].tolist() and ids[-1] == clip.eot
    assert backend.decode(ids, skip_special_tokens=True).strip() == clip.decode(ids)


# ---- the tensor


def test_rows_are_start_tokens_end_zeros(clip):
    ids = clip(["dog", ""], 6)
    assert ids.dtype == torch.int64 and ids.shape == (2, 6)
    dog = clip.encode(["dog"])[0]
    assert ids[0].tolist() == [clip.sot, *dog, clip.eot, *[0] * (4 - len(dog))]
    assert ids[1].tolist() == [clip.sot, clip.eot, 0, 0, 0, 0]
    assert clip([], 6).shape == (0, 6)


@pytest.mark.parametrize("length", [2, 3, 5, 20, 77])
def test_a_long_text_is_cut_as_in_clip(clip, length):
    text = " ".join(CORPUS)
    tokens = [clip.sot, *clip.encode([text])[0], clip.eot]
    expected = tokens[:length] + [0] * (length - len(tokens))
    if len(tokens) > length:
        expected[-1] = clip.eot
    assert clip([text], length)[0].tolist() == expected


def test_the_end_is_the_largest_id(clip, trained):
    for tokenizer in (clip, trained):
        ids = tokenizer(CORPUS, 20)
        assert ids.argmax(1).equal((ids == tokenizer.eot).long().argmax(1))
        assert tokenizer.eot == tokenizer.vocab_size - 1


def test_repeated_texts_come_from_the_cache_unchanged(clip):
    once = clip(CORPUS, 12)
    assert clip(CORPUS + CORPUS[::-1], 12).equal(torch.cat([once, once.flip(0)]))


def test_a_full_cache_starts_anew(bpe_file, monkeypatch):
    monkeypatch.setattr("geomclip.data.tokenizer._MAX_CACHE", 3)
    tokenizer = Tokenizer.from_clip(bpe_file)
    expected = Tokenizer.from_clip(bpe_file).encode(CORPUS)
    assert tokenizer.encode(CORPUS[:2]) + tokenizer.encode(CORPUS[1:]) == (
        expected[:2] + expected[1:]
    )
    assert [tokenizer.encode([w])[0] for w in CORPUS] == expected


# ---- training


def test_training_merges_the_most_frequent_pair_first():
    # ("a", "b</w>") stands five times, ("c", "a") four times, ("ca", "b</w>") is gone by then.
    tokenizer = Tokenizer.train(["ab"] * 3 + ["cab"] * 2 + ["cad"] * 2, vocab_size=516)
    ab, d = 512, byte_symbols().index("d") + 256
    c, a = byte_symbols().index("c"), byte_symbols().index("a")
    assert tokenizer.encode(["ab"]) == [[ab]]
    # The second merge is one of the pairs that stand twice: c+ab</w>, c+a, a+d</w>.
    assert tokenizer.encode(["cab", "cad"]) in (
        [[513], [c, a, d]], [[c, ab], [513, d]], [[c, ab], [c, 513]],
    )  # fmt: skip
    assert tokenizer.vocab_size == 516


def test_training_gives_the_same_merges_every_time(tmp_path):
    # Nearly all pairs tie here: any dependence on the order of a hash map shows.
    texts = [f"{a}{b}{c}" for a in "abcdef" for b in "ghijkl" for c in "mnopqr"] * 2
    files = set()
    for i, order in enumerate((texts, texts, texts[::-1])):
        Tokenizer.train(order, vocab_size=620).save(tmp_path / f"{i}.json")
        files.add((tmp_path / f"{i}.json").read_text(encoding="utf-8"))
    assert len(files) == 1


def test_training_merges_only_what_stands_twice():
    assert Tokenizer.train(["abc"], vocab_size=2000).vocab_size == 514
    assert Tokenizer.train(["abc", "abc"], vocab_size=2000).vocab_size == 516


def test_every_text_can_be_encoded(trained):
    unseen = "Ωμέγα 漢字 \x00\u200d🏳️‍🌈"
    assert trained.eot not in trained.encode([unseen])[0]
    assert trained.decode(trained.encode([unseen])[0]) == " ".join(reference_words(clean(unseen)))


# ---- refusals


def test_misuse_is_refused(clip):
    with pytest.raises(ValueError, match="at least 514"):
        Tokenizer.train(["a"], vocab_size=400)
    with pytest.raises(ValueError, match="start and end, got 1"):
        clip(["a"], 1)
    with pytest.raises(ValueError, match="got one string"):
        clip("a text", 5)
    with pytest.raises(ValueError, match="between 0 and 583, got 9999"):
        clip.decode([9999])


def test_bad_files_are_refused_in_words(tmp_path):
    path = tmp_path / "x.txt"
    with pytest.raises(RequestError, match="can't be read"):
        Tokenizer.from_clip(tmp_path / "none.txt.gz")
    path.write_text("#version\na b c\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"merge 1 is not two symbols: 'a b c'"):
        Tokenizer.from_clip(path)
    path.write_text("#version\nzz q\n", encoding="utf-8")
    with pytest.raises(RequestError, match="do not fit together"):
        Tokenizer.from_clip(path)
    broken = tmp_path / "x.txt.gz"
    broken.write_bytes(gzip.compress(b"#version\na b\n" * 99)[:-9])
    with pytest.raises(RequestError, match="can't be read"):
        Tokenizer.from_clip(broken)
    with pytest.raises(RequestError, match="no tokenizer"):
        Tokenizer.load(path)


@pytest.mark.parametrize(
    ("vocab", "message"),
    [("[]", "no table"), ("{", "no JSON"), ('{"a": "b"}', "no table"), ('{"a": 0}', "has no")],
)
def test_bad_vocabularies_are_refused(tmp_path, vocab, message):
    (tmp_path / "vocab.json").write_text(vocab, encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    with pytest.raises(RequestError, match=message):
        Tokenizer.from_clip(tmp_path / "vocab.json", tmp_path / "merges.txt")


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("geomclip.data.tokenizer._MAX_FILE", 1000)
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(b"a b\n" * 1000))
    with pytest.raises(RequestError, match="unpacked"):
        Tokenizer.from_clip(path)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet="aAbΣσ 1२!'’.sé́\u00a0\u3000\u2028\t😀日<|>", max_size=12), max_size=4)
)
def test_a_text_is_its_words_one_after_the_other(clip, texts):
    whole = [clip._backend.encode(clean(t), add_special_tokens=False).ids for t in texts]
    assert clip.encode(texts) == whole


def test_another_tokenizers_words_are_not_taken_out_of_their_text(clip):
    from tokenizers import AddedToken, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    vocab = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "Ġa": 3, "Ġ": 4}
    backend = Backend(models.BPE(vocab, [("Ġ", "a")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens([AddedToken("<|startoftext|>"), AddedToken("<|endoftext|>")])
    assert Tokenizer(backend).encode(["a a"]) == [[2, 3]]
