"""Open words: sets by hand, wheels in the published layout, and the published reference."""

import csv
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.errors import UsageError
from openaffect.evaluation.grouping import ByEmbedding, Exact, OnWheel, sentence_encoder
from openaffect.evaluation.label_tables import read_labels, read_word_sets, word_list
from openaffect.evaluation.open_vocabulary import mean_scores, score_sets
from openaffect.evaluation.wheels import BuiltinWheel, read_wheels

# Of `mer2024-check-openset.csv` and `mer2024-predict-openset.csv`, by the wheel.py of MERTools
# at 89120b7 run on the same files: (wheel, level) -> samples, precision, recall.
PUBLISHED = {
    ("wheel1", 1): (327, 0.5754332313965342, 0.5530071355759429),
    ("wheel2", 1): (328, 0.59375, 0.5576219512195121),
    ("wheel3", 1): (324, 0.5414094650205761, 0.5671296296296297),
    ("wheel4", 1): (327, 0.5563200815494393, 0.537920489296636),
    ("wheel5", 1): (316, 0.5300632911392406, 0.5268987341772152),
    ("wheel1", 2): (327, 0.4654434250764526, 0.3823649337410805),
    ("wheel2", 2): (328, 0.4649390243902439, 0.38511178861788614),
    ("wheel3", 2): (324, 0.4424897119341564, 0.4479203409758965),
    ("wheel4", 2): (327, 0.43358817533129457, 0.4055846803553225),
    ("wheel5", 2): (316, 0.43064345991561176, 0.40421940928270045),
}


@pytest.mark.parametrize("level", [1, 2])
def test_published_wheels_give_the_published_code_s_figures(shared, level):
    reference = read_word_sets(shared / "emer" / "mer2024-check-openset.csv")
    predicted = read_word_sets(shared / "emer" / "mer2024-predict-openset.csv")
    wheels = read_wheels(shared / "emotion_wheel", level)
    assert len(wheels) == 5 and all(len(wheel.words) == 7386 for wheel in wheels)
    for wheel in wheels:
        found = score_sets(OnWheel(wheel), reference, predicted)
        scored, precision, recall = PUBLISHED[wheel.name, level]
        assert found.scored == scored
        assert found.precision == pytest.approx(precision, abs=1e-12)
        assert found.recall == pytest.approx(recall, abs=1e-12)
        assert found.f == pytest.approx(2 * precision * recall / (precision + recall))


def write_csv(path: Path, *rows: tuple[str, ...]) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows(rows)


@pytest.fixture
def small_wheels(tmp_path) -> Path:
    write_csv(
        tmp_path / "wheel1.csv",
        ("level1", "level2", "level3"),
        ("Bad ", "Stressed", "Overwhelmed"),
        ("", "", "Rushed"),
        ("", "Tired", "Sleepy"),
        ("Fearful", "Anxious", "Overwhelmed"),
    )
    write_csv(
        tmp_path / "format.csv",
        ("name", "format"),
        ("overwhelmed", "overwhelm,overwhelming"),
        ("weary", "wearily,wearied"),
        ("bad", "bad,badly"),
        ("unheard", "unheard of"),
    )
    write_csv(
        tmp_path / "synonym.csv",
        ("word_run1", "synonym_run1", "word_run2", "synonym_run2"),
        ("Overwhelmed", "swamped, crushed", "overwhelmed", ""),
        ("Tired", "['weary', \"spent\"]", "sleepy", "weary"),
        ("bad", "", "", ""),
    )
    return tmp_path


def test_a_word_goes_from_form_to_lemma_to_sector(small_wheels):
    (first,) = read_wheels(small_wheels, 1)
    assert first.sector("overwhelming") == "fearful"  # named twice: the last row wins
    assert first.sector("wearily") == "bad"
    assert first.sector("badly") == "bad"
    assert first.sector("crushed") is None  # a synonym without a form of its own
    assert first.sector("unheard of") is None and first.sector("neutral") is None
    (second,) = read_wheels(small_wheels, 2)
    assert second.sector("bad") == "stressed"  # the first of its level 2, alphabetically
    assert second.sector("wearied") == "tired"  # of "sleepy" and "tired", the first on the wheel
    assert second.sector("overwhelm") == "anxious"


def test_xlsx_is_read_as_csv_is(small_wheels, tmp_path_factory):
    openpyxl = pytest.importorskip("openpyxl")
    folder = tmp_path_factory.mktemp("xlsx")
    for table in small_wheels.glob("*.csv"):
        book = openpyxl.Workbook()
        with table.open(newline="") as lines:
            for row in csv.reader(lines):
                book.active.append([cell or None for cell in row])
        book.save(folder / f"{table.stem}.xlsx")
    assert read_wheels(folder, 2) == read_wheels(small_wheels, 2)
    with zipfile.ZipFile(folder / "wheel1.xlsx", "w") as damaged:
        damaged.writestr("nothing", "")
    with pytest.raises(UsageError, match="no readable"):
        read_wheels(folder, 1)


def test_sets_by_hand():
    reference = {"a": ("happy", "sad"), "b": ("angry",), "c": (), "d": ("calm",)}
    predicted = {"a": ("happy", "shy", "odd"), "b": ("angry",), "c": ("happy",)}
    found = score_sets(Exact(), reference, predicted)
    assert (found.samples, found.scored, found.unanswered) == (4, 3, 1)
    assert found.precision == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert found.recall == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found.f == pytest.approx(2 * found.precision * 0.5 / (found.precision + 0.5))
    assert found.hit_rate == pytest.approx(2 / 3)
    assert found.f_interval[0] <= found.f <= found.f_interval[1]
    nothing = score_sets(Exact(), {"a": ("x",)}, {"a": ("y",)})
    assert (nothing.precision, nothing.recall, nothing.f) == (0, 0, 0)
    assert mean_scores([found, nothing])["f"] == pytest.approx(found.f / 2)


def test_words_dropped_from_the_reference_drop_the_sample(small_wheels):
    wheel = OnWheel(read_wheels(small_wheels, 1)[0])
    reference = {"a": ("neutral",), "b": ("bad", "neutral"), "c": ("overwhelmed",)}
    predicted = {"a": ("bad",), "b": ("weary", "unknown"), "c": ("unknown",)}
    found = score_sets(wheel, reference, predicted)
    assert (found.scored, found.precision, found.recall) == (2, 0.5, 0.5)


words = st.lists(st.sampled_from(["joyful", "glad", "sad", "angry", "worried", "xyz"]), max_size=4)


@settings(max_examples=20)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=8), st.sampled_from([1, 2]))
def test_properties_of_any_grouping(samples, level):
    reference = {str(i): tuple(r) for i, (r, _) in enumerate(samples)}
    predicted = {str(i): tuple(p) for i, (_, p) in enumerate(samples)}
    for grouping in (Exact(), OnWheel(BuiltinWheel(level))):
        found = score_sets(grouping, reference, predicted)
        most = max(found.precision, found.recall)
        assert 0 <= found.f <= most + 1e-12 and most <= found.hit_rate + 1e-12 <= 1 + 1e-12
        itself = score_sets(grouping, reference, reference)
        assert itself.scored == found.scored
        if itself.scored:
            assert itself.f == pytest.approx(1)
        backwards = {name: tuple(reversed(told)) for name, told in predicted.items()}
        assert score_sets(grouping, reference, backwards) == found


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['Happy', 'sad ']", ("happy", "sad")),
        ('["happy", "sad"]', ("happy", "sad")),
        ("[happy, sad]", ("happy", "sad")),
        ("happy, sad", ("happy", "sad")),
        ("[]", ()),
        ("", ()),
        (None, ()),
        (["Sad", "sad", None], ("sad",)),
        ("['looking  forward to']", ("looking forward to",)),
        ('["one\'s own"]', ("one's own",)),
        ("Happy.", ("happy",)),
        ("Happy, excited.", ("happy", "excited")),
        ("1. happy, 2. sad", ("happy", "sad")),
        ("1. **Happy**\n2) self-assured\n(3) sad\n", ("happy", "self-assured", "sad")),
        ("- happy\r\n- sad", ("happy", "sad")),
        ("happy; sad；开心、难过。", ("happy", "sad", "开心", "难过")),
        ('"happy, sad"', ("happy", "sad")),
        ("['1. Happy', '(sad)', '...']", ("happy", "sad")),
    ],
)
def test_lists_as_they_are_written(cell, expected):
    assert word_list(cell) == expected


def test_a_full_stop_costs_no_word():
    told = {"a": word_list("Joyful."), "b": word_list("Worried, sad.")}
    found = score_sets(OnWheel(BuiltinWheel(1)), {"a": ("happy",), "b": ("anxious", "sad")}, told)
    assert (found.precision, found.recall) == (1, 1)


@given(st.text(max_size=40))
def test_any_text_is_a_list_of_clean_words(text):
    for word in word_list(text):
        assert word and word == " ".join(word.split())


def test_builtin_wheel_tells_everyday_words_apart():
    wheel = BuiltinWheel(1)
    same = [("joyful", "happiness"), ("slightly anxious", "worry"), ("furious", "angry")]
    assert all(wheel.sector(a) == wheel.sector(b) is not None for a, b in same)
    assert wheel.sector("happy") != wheel.sector("sad") != wheel.sector("neutral")
    assert wheel.sector("gibberish") is None
    deep = BuiltinWheel(2)
    assert deep.sector("annoyed") != deep.sector("furious")
    assert wheel.sector("annoyed") == wheel.sector("furious")


def test_builtin_wheel_names_no_word_twice():
    table = Path(__file__).parents[2] / "src/openaffect/evaluation/builtin_wheel.csv"
    with table.open(newline="") as lines:
        named = [w for row in csv.DictReader(lines) for w in row["words"].split("|")]
    assert not sorted({word for word in named if named.count(word) > 1})


def test_embeddings_link_words():
    vectors = {"glad": (1, 0), "happy": (0.9, 0.2), "joyful": (0.7, 0.6), "sad": (-1, 0)}

    def embed(asked):
        return np.array([vectors[word] for word in asked], np.float32)

    found = ByEmbedding(embed, 0.85).groups("a", ["glad", "sad", "joyful", "happy"])
    assert found == {"glad": "glad", "happy": "glad", "joyful": "glad", "sad": "sad"}
    with pytest.raises(UsageError, match="cosine"):
        ByEmbedding(embed, 2)


def test_sentence_encoder_equals_transformers_one_word_at_a_time(tmp_path):
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nvery\nsad\nhappy\n")
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=8, num_hidden_layers=1, **sizes)).eval()
    model.save_pretrained(tmp_path)
    embed = sentence_encoder(tmp_path)
    together = embed(["very sad", "happy"])
    assert np.allclose(together[1], embed(["happy"])[0], atol=1e-5)
    inputs = BertTokenizerFast.from_pretrained(tmp_path)(["very sad"], return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).last_hidden_state[0].mean(0)
    assert np.allclose(together[0], expected, atol=1e-5)
    with pytest.raises(UsageError, match="no text encoder"):
        sentence_encoder(tmp_path / "missing")


def test_ten_thousand_samples(shared):
    reference = read_word_sets(shared / "emer" / "mer2024-check-openset.csv")
    predicted = read_word_sets(shared / "emer" / "mer2024-predict-openset.csv")
    many = {f"{name}-{i}": told for i in range(31) for name, told in reference.items()}
    answers = {f"{name}-{i}": told for i in range(31) for name, told in predicted.items()}
    assert len(many) > 10_000
    began = time.process_time()
    for wheel in read_wheels(shared / "emotion_wheel", 1):
        score_sets(OnWheel(wheel), many, answers)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("name", "told"),
    [("wheel1.csv", "no wheel1"), ("format.csv", "no format"), ("synonym.csv", "no synonym")],
)
def test_a_missing_table_is_named(small_wheels, name, told):
    (small_wheels / name).unlink()
    with pytest.raises(UsageError, match=told):
        read_wheels(small_wheels, 1)


def test_tables_of_answers(tmp_path):
    write_csv(tmp_path / "a.csv", ("name", "discrete"), ("x", "happy"), ("y", ""))
    assert read_labels(tmp_path / "a.csv") == {"x": "happy", "y": ""}
    rows = [{"id": "x", "openset": ["Sad"]}, {"id": "y", "openset": None}]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read_word_sets(tmp_path / "b.jsonl") == {"x": ("sad",), "y": ()}
    (tmp_path / "b.json").write_text(json.dumps(rows))
    assert read_word_sets(tmp_path / "b.json") == {"x": ("sad",), "y": ()}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no rows"),
        ("name,other\nx,1\n", "none of the columns label"),
        ("name,label\nx,a\nx,b\n", "twice"),
        ("name,label\nx\n", "as many cells"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, text, told):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UsageError, match=told):
        read_labels(tmp_path / "a.csv")
