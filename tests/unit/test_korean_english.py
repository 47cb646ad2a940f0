"""The generated Korean-English corpus: grammar in its parts, and the promises of the whole."""

import re
from collections import Counter

import pytest

from polyhead.data.korean_english import DOMAINS, Pair, generate, nearest, normalised, splits
from polyhead.data.korean_english.conjugation import conjugate, honorific
from polyhead.data.korean_english.english import (
    article,
    comparative,
    gerund,
    number_words,
    ordinal_digits,
    ordinal_words,
    participle,
    past,
    plural,
    superlative,
    third_person,
)
from polyhead.data.korean_english.hangul import attach, final_sound, join, particle, split
from polyhead.data.korean_english.lexicon import lexicon
from polyhead.data.korean_english.numerals import counted, day_name, month_name, native, sino

whole_corpus = pytest.mark.xdist_group("korean_english_corpus")


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Pair]]:
    return splits()


def english_words(pairs: list[Pair]) -> Counter[str]:
    return Counter(word for pair in pairs for word in re.findall(r"[\w'-]+", pair.english.lower()))


# --- hangul and particles -------------------------------------------------------------------------


def test_a_syllable_comes_apart_and_together_again() -> None:
    assert split("값") == ("ㄱ", "ㅏ", "ㅄ")
    assert split("가") == ("ㄱ", "ㅏ", "")
    assert all(join(*split(chr(code))) == chr(code) for code in range(0xAC00, 0xD7A4, 7))


def test_what_is_not_a_syllable_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'a' is not one hangul syllable"):
        split("a")
    with pytest.raises(ValueError, match="do not make a hangul syllable"):
        join("ㅏ", "ㄱ")
    with pytest.raises(ValueError, match="has no letter or digit"):
        final_sound("!?")
    with pytest.raises(ValueError, match="not a pair of particles"):
        particle("책", "은")


@pytest.mark.parametrize(
    ("word", "pair", "expected"),
    [
        ("책", "은/는", "책은"),
        ("의자", "은/는", "의자는"),
        ("학생", "이/가", "학생이"),
        ("의사", "이/가", "의사가"),
        ("밥", "을/를", "밥을"),
        ("우유", "을/를", "우유를"),
        ("빵", "과/와", "빵과"),
        ("커피", "과/와", "커피와"),
        ("집", "으로/로", "집으로"),
        ("학교", "으로/로", "학교로"),
        ("서울", "으로/로", "서울로"),
        ("지하철", "으로/로", "지하철로"),
        ("선생님", "이에요/예요", "선생님이에요"),
        ("간호사", "이에요/예요", "간호사예요"),
        ("병원", "이라고/라고", "병원이라고"),
        ("지훈", "아/야", "지훈아"),
        ("민수", "아/야", "민수야"),
        ("10", "은/는", "10은"),
        ("2", "은/는", "2는"),
        ("1", "으로/로", "1로"),
        ("3", "으로/로", "3으로"),
        ("100", "이/가", "100이"),
        ("20,000", "을/를", "20,000을"),
        ("1,000,000,000,000", "을/를", "1,000,000,000,000를"),
        ("PDF", "을/를", "PDF를"),
        ("URL", "을/를", "URL을"),
        ("MRI", "을/를", "MRI를"),
        ("Michael", "은/는", "Michael은"),
        ("Emily", "은/는", "Emily는"),
        ("Google", "으로/로", "Google로"),
        ("iPhone", "을/를", "iPhone을"),
        ("30%", "은/는", "30%는"),
        ("5kg", "을/를", "5kg을"),
    ],
)
def test_a_particle_agrees_with_the_last_sound(word: str, pair: str, expected: str) -> None:
    assert attach(word, pair) == expected


# --- conjugation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("먹다", "먹어요 먹었다 먹습니다 먹는다 먹으면 먹은 먹을 먹고 먹는"),
        ("가다", "가요 갔다 갑니다 간다 가면 간 갈 가고 가는"),
        ("돕다", "도와요 도왔다 돕습니다 돕는다 도우면 도운 도울 돕고 돕는"),
        ("춥다", "추워요 추웠다 춥습니다 춥는다 추우면 추운 추울 춥고 춥는"),
        ("입다", "입어요 입었다 입습니다 입는다 입으면 입은 입을 입고 입는"),
        ("듣다", "들어요 들었다 듣습니다 듣는다 들으면 들은 들을 듣고 듣는"),
        ("받다", "받아요 받았다 받습니다 받는다 받으면 받은 받을 받고 받는"),
        ("짓다", "지어요 지었다 짓습니다 짓는다 지으면 지은 지을 짓고 짓는"),
        ("씻다", "씻어요 씻었다 씻습니다 씻는다 씻으면 씻은 씻을 씻고 씻는"),
        ("빨갛다", "빨개요 빨갰다 빨갛습니다 빨갛는다 빨가면 빨간 빨갈 빨갛고 빨갛는"),
        ("하얗다", "하얘요 하얬다 하얗습니다 하얗는다 하야면 하얀 하얄 하얗고 하얗는"),
        ("넣다", "넣어요 넣었다 넣습니다 넣는다 넣으면 넣은 넣을 넣고 넣는"),
        ("부르다", "불러요 불렀다 부릅니다 부른다 부르면 부른 부를 부르고 부르는"),
        ("빠르다", "빨라요 빨랐다 빠릅니다 빠른다 빠르면 빠른 빠를 빠르고 빠르는"),
        ("따르다", "따라요 따랐다 따릅니다 따른다 따르면 따른 따를 따르고 따르는"),
        ("푸르다", "푸르러요 푸르렀다 푸릅니다 푸른다 푸르면 푸른 푸를 푸르고 푸르는"),
        ("쓰다", "써요 썼다 씁니다 쓴다 쓰면 쓴 쓸 쓰고 쓰는"),
        ("바쁘다", "바빠요 바빴다 바쁩니다 바쁜다 바쁘면 바쁜 바쁠 바쁘고 바쁘는"),
        ("살다", "살아요 살았다 삽니다 산다 살면 산 살 살고 사는"),
        ("하다", "해요 했다 합니다 한다 하면 한 할 하고 하는"),
        ("마시다", "마셔요 마셨다 마십니다 마신다 마시면 마신 마실 마시고 마시는"),
        ("배우다", "배워요 배웠다 배웁니다 배운다 배우면 배운 배울 배우고 배우는"),
        ("되다", "돼요 됐다 됩니다 된다 되면 된 될 되고 되는"),
        ("쉬다", "쉬어요 쉬었다 쉽니다 쉰다 쉬면 쉰 쉴 쉬고 쉬는"),
        ("보내다", "보내요 보냈다 보냅니다 보낸다 보내면 보낸 보낼 보내고 보내는"),
        ("푸다", "퍼요 펐다 풉니다 푼다 푸면 푼 풀 푸고 푸는"),
        ("있다", "있어요 있었다 있습니다 있는다 있으면 있은 있을 있고 있는"),
        ("없다", "없어요 없었다 없습니다 없는다 없으면 없은 없을 없고 없는"),
        ("사진을 찍다", "찍어요 찍었다 찍습니다 찍는다 찍으면 찍은 찍을 찍고 찍는"),
    ],
)
def test_a_verb_takes_every_kind_of_ending(verb: str, forms: str) -> None:
    endings = ("아요", "았다", "습니다", "는다", "으면", "은", "을", "고", "는")
    head, space, _ = verb.rpartition(" ")
    made = [conjugate(verb, ending) for ending in endings]
    assert made == [head + space + form for form in forms.split()]


def test_a_stem_in_rieul_drops_it_before_n_s_and_b_only() -> None:
    endings = ("니", "세요", "으세요", "으니까", "읍시다", "으려고", "으러", "으면서", "지", "음")
    made = [conjugate("만들다", ending) for ending in endings]
    assert made == (
        [
            "만드니",
            "만드세요",
            "만드세요",
            "만드니까",
            "만듭시다",
            "만들려고",
            "만들러",
            "만들면서",
            "만들지",
            "만듦",
        ]
    )


@pytest.mark.parametrize(
    ("noun", "forms"),
    [
        ("의사", "의사예요 의사야 의사입니다 의사다 의사였다 의사지"),
        ("학생", "학생이에요 학생이야 학생입니다 학생이다 학생이었다 학생이지"),
    ],
)
def test_the_copula_leans_on_its_noun(noun: str, forms: str) -> None:
    endings = ("아요", "아", "습니다", "다", "았다", "지")
    assert [conjugate(f"{noun}|이다", ending) for ending in endings] == forms.split()
    assert conjugate("의사가 아니다", "아요") == "의사가 아니에요"


def test_honour_is_done_to_the_subject() -> None:
    verbs = ("가다", "읽다", "듣다", "먹다", "자다", "말하다", "읽고 있다", "시간이 있다")
    assert [honorific(verb) for verb in verbs] == [
        "가시다", "읽으시다", "들으시다", "드시다", "주무시다", "말씀하시다", "읽고 계시다",
        "시간이 있으시다",
    ]  # fmt: skip
    assert conjugate(honorific("가르치다"), "았다") == "가르치셨다"


def test_a_verb_that_is_not_in_its_dictionary_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'먹어요' is not a dictionary form"):
        conjugate("먹어요", "고")


def test_every_verb_of_the_lexicon_conjugates() -> None:
    for scenes in lexicon().scenes.values():
        for scene in scenes:
            for verb in (*scene.verbs, *scene.acts, *scene.events):
                assert conjugate(verb.korean, "아요").endswith("요")
                assert conjugate(verb.korean, "습니다").endswith("니다")


# --- numerals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "counter", "expected"),
    [
        (1, "개", "한 개"),
        (2, "명", "두 명"),
        (3, "시", "세 시"),
        (4, "권", "네 권"),
        (12, "시", "열두 시"),
        (20, "살", "스무 살"),
        (21, "살", "스물한 살"),
        (99, "마리", "아흔아홉 마리"),
        (3, "층", "삼 층"),
        (25, "분", "이십오 분"),
        (50_000, "원", "오만 원"),
        (35_000, "원", "삼만 오천 원"),
        (10_000, "원", "만 원"),
        (120, "명", "백이십 명"),
    ],
)
def test_a_counter_takes_native_or_sino_korean_numbers(
    number: int, counter: str, expected: str
) -> None:
    assert counted(number, counter) == expected


def test_numbers_read_in_words_and_digits() -> None:
    assert counted(3, "명", digits=True) == "3명"
    assert counted(35_000, "원", digits=True) == "35,000원"
    assert [sino(n) for n in (0, 6, 10, 105, 1_900, 12_345, 100_000_000)] == [
        "영", "육", "십", "백오", "천구백", "만 이천삼백사십오", "일억",
    ]  # fmt: skip
    assert [native(n) for n in (1, 5, 20, 33)] == ["하나", "다섯", "스물", "서른셋"]
    assert (month_name(6), month_name(10), month_name(3)) == ("유월", "시월", "삼월")
    assert day_name(15) == "십오일"


def test_numbers_out_of_reach_are_refused() -> None:
    with pytest.raises(ValueError, match="100 has no native Korean reading"):
        native(100)
    with pytest.raises(ValueError, match="out of range"):
        sino(10**12)
    with pytest.raises(ValueError, match="out of range"):
        number_words(-1)


# --- English --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("walk", "walks walked walked walking"),
        ("carry", "carries carried carried carrying"),
        ("play", "plays played played playing"),
        ("watch", "watches watched watched watching"),
        ("go", "goes went gone going"),
        ("undergo", "undergoes underwent undergone undergoing"),
        ("have", "has had had having"),
        ("write", "writes wrote written writing"),
        ("take", "takes took taken taking"),
        ("plan", "plans planned planned planning"),
        ("submit", "submits submitted submitted submitting"),
        ("visit", "visits visited visited visiting"),
        ("lose", "loses lost lost losing"),
        ("see", "sees saw seen seeing"),
        ("read", "reads read read reading"),
        ("cancel", "cancels canceled canceled canceling"),
    ],
)
def test_an_english_verb_inflects(verb: str, forms: str) -> None:
    made = [inflect(verb) for inflect in (third_person, past, participle, gerund)]
    assert made == forms.split()


def test_only_the_first_word_of_a_phrasal_verb_inflects() -> None:
    assert third_person("look for") == "looks for"
    assert past("put off") == "put off"
    assert gerund("give up") == "giving up"


def test_english_nouns_articles_and_degrees() -> None:
    nouns = ("box", "city", "child", "tooth", "knife", "photo", "potato", "bus", "fish", "scarf")
    assert [plural(noun) for noun in nouns] == [
        "boxes", "cities", "children", "teeth", "knives", "photos", "potatoes", "buses", "fish",
        "scarves",
    ]  # fmt: skip
    assert plural("list of names") == "lists of names"
    words = ("apple", "hour", "university", "uniform", "umbrella", "MRI", "X-ray", "one", "useful")
    assert [article(word) for word in words] == ["an", "an", "a", "a", "an", "an", "an", "a", "a"]
    adjectives = ("cheap", "big", "pretty", "expensive", "good", "large", "quiet", "useful", "wet")
    assert [comparative(word) for word in adjectives] == [
        "cheaper", "bigger", "prettier", "more expensive", "better", "larger", "quieter",
        "more useful", "wetter",
    ]  # fmt: skip
    assert [superlative(w) for w in ("bad", "easy", "famous")] == [
        "worst",
        "easiest",
        "most famous",
    ]


def test_english_numbers_read_in_words() -> None:
    assert number_words(35_500) == "thirty-five thousand five hundred"
    assert [ordinal_words(n) for n in (1, 2, 5, 12, 20, 23)] == [
        "first", "second", "fifth", "twelfth", "twentieth", "twenty-third",
    ]  # fmt: skip
    assert [ordinal_digits(n) for n in (1, 2, 3, 11, 12, 13, 21)] == (
        ["1st", "2nd", "3rd", "11th", "12th", "13th", "21st"]
    )


# --- the corpus -----------------------------------------------------------------------------------


def test_a_seed_always_makes_the_same_pairs() -> None:
    assert generate(seed=5, pairs=300) == generate(seed=5, pairs=300)
    assert generate(seed=5, pairs=300) != generate(seed=6, pairs=300)


def test_a_corpus_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="ask for at least 1"):
        generate(pairs=0)
    with pytest.raises(ValueError, match="more than half"):
        splits(pairs=100, valid=40, test=40)
    with pytest.raises(ValueError, match=r"of 200 pairs only \d+ in .*; 50 \+ 50 were asked for"):
        splits(pairs=200, valid=50, test=50)


@whole_corpus
def test_there_are_a_hundred_thousand_pairs_distinct_on_both_sides(
    parts: dict[str, list[Pair]],
) -> None:
    pairs = [pair for part in parts.values() for pair in part]
    assert len(parts["train"]) >= 100_000
    assert len({normalised(pair.korean) for pair in pairs}) == len(pairs)
    assert len({normalised(pair.english) for pair in pairs}) == len(pairs)


@whole_corpus
def test_both_vocabularies_are_large_and_their_words_frequent(
    parts: dict[str, list[Pair]],
) -> None:
    words = english_words(parts["train"])
    spelt = {word: count for word, count in words.items() if not re.search(r"\d", word)}
    assert sum(count >= 20 for count in spelt.values()) >= 3_000
    korean = {w.strip(".,?!") for pair in parts["train"] for w in pair.korean.split()}
    assert sum(not re.search(r"\d", word) for word in korean) >= 3_000


@whole_corpus
def test_held_out_pairs_are_balanced_and_made_of_words_seen_in_training(
    parts: dict[str, list[Pair]],
) -> None:
    seen = english_words(parts["train"])
    for name in ("valid", "test"):
        assert Counter(pair.domain for pair in parts[name]) == dict.fromkeys(DOMAINS, 200)
        words = english_words(parts[name])
        assert sum(word in seen for word in words) / len(words) >= 0.99


@whole_corpus
def test_sentences_are_short_and_well_formed(parts: dict[str, list[Pair]]) -> None:
    for pair in parts["train"][:20_000]:
        assert re.fullmatch(r"[A-Z0-9].*[.?]", pair.english), pair
        assert pair.english.isascii() or re.search("[éü]", pair.english), pair
        assert re.fullmatch(r"[가-힣\d%,. :?]+[.?]", pair.korean), pair
        assert not re.search(r"\bOWN\b| [,.?]|  |\ba [aeio]|\ban [^aeiouhAEIOMX]", pair.english), (
            pair
        )
    lengths = [len(pair.english.split()) for pair in parts["train"]]
    assert 7 < sum(lengths) / len(lengths) < 11
    assert sum(4 <= length <= 14 for length in lengths) / len(lengths) > 0.95


# --- retrieval ------------------------------------------------------------------------------------


def test_the_nearest_sentence_is_itself_or_the_one_that_shares_most() -> None:
    train = ["저는 학교에 갔습니다.", "내일 비가 올까요?", "의사가 환자를 치료했습니다."]
    assert nearest(train, train) == [0, 1, 2]
    assert nearest(train, ["의사가 아이를 치료했어요.", "나는 학교에 갔어."]) == [2, 0]
    assert nearest(train, []) == []


def test_retrieval_without_training_sentences_is_refused() -> None:
    with pytest.raises(ValueError, match="no training source"):
        nearest([], ["저는 학교에 갔습니다."])


@whole_corpus
def test_retrieval_rarely_finds_the_translation(parts: dict[str, list[Pair]]) -> None:
    train, test = parts["train"][:10_000], parts["test"][:100]
    found = nearest([pair.korean for pair in train], [pair.korean for pair in test])
    shared = [
        len(set(train[i].english.split()) & set(pair.english.split()))
        for i, pair in zip(found, test, strict=True)
    ]
    assert sum(shared) > 100
    assert all(train[i].english != pair.english for i, pair in zip(found, test, strict=True))
