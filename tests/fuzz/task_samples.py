"""Valid files of every task, by the syntax that they are in; the first folder of a path is the task's name."""

from __future__ import annotations

import json

from ..tasks.test_readers import CLOZE, MRPC, QQP, STSB, cloze_rows, mnli_header, mrpc_rows, squad

SPLITS = {"winograd": "test", "lambada": "test", "ax": "test", "cnn-dm": "train", "translation": "train"}  # else dev
_SNLI = "gold_label\ts1b\ts2b\ts1p\ts2p\tsentence1\tsentence2\tcaptionID\tpairID\tlabel1\tlabel2\n"
_PAIR = "0\tWho ran?\tThe dog ran.\tentailment\n1\tWho sat?\tA cat.\tnot_entailment\n"
_SENTENCES = "index\tsentence1\tsentence2\t"
_MNLI = "0\t1\t2\tg\t.\t.\t.\t.\tA man sleeps.\tNobody sleeps. \t"
_RACE = {"article": "A text.", "questions": ["Who?", "It is _ ."], "options": [list("abcd")] * 2, "answers": ["B", "D"]}
_CBT = "".join(f"{i} Sentence {i} .\n" for i in range(1, 21)) + "21 The XXXXX ran .\tdog\t\tcat|dog|cow|hen\n"
_SWAG = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n"
_COPA = '<item id="1" asks-for="cause" most-plausible-alternative="1">\n'
_COPA += "<p>P.</p>\n<a1>A.</a1>\n<a2>B &amp; C.</a2>\n</item>\n"
_SCHEMA = "<schema><text><txt1>The cup is as</txt1><pron>it</pron><txt2>is small.</txt2></text>"
_SCHEMA += (
    "<answers><answer>the cup</answer><answer>the bag</answer></answers><correctAnswer> B. </correctAnswer></schema>\n"
)
_SQUAD = {"id": "q", "question": "When?", "answers": [{"text": "May", "answer_start": 3}], "is_impossible": False}

TABS = {
    "cola/dev.tsv": "me01\t1\t\tThe pot boils.\nme01\t0\t*\tPot the boils.\n",
    "sst2/dev.tsv": "sentence\tlabel\nfine\t1\nbad\t0\n",
    "mrpc/msr_paraphrase_train.txt": mrpc_rows(6),
    "mrpc/dev_ids.tsv": "4\t104\n1\t101\n",
    "qqp/dev.tsv": QQP + "1\t1\t2\tWhy?\tHow?\t0\n5\t6\t7\tWhen?\tOn which day?\t1\n",
    "stsb/dev.tsv": STSB + "0\tg\tf\t2020\t1\tn\tn\tA cat sits.\tA cat is sitting.\t4.8\n",
    "mnli/dev_matched.tsv": mnli_header(5) + _MNLI + "neutral\t" * 5 + "contradiction\n",
    "snli/snli_1.0_dev.txt": _SNLI
    + "neutral\t.\t.\t.\t.\tC.\tD.\tc\tp\tneutral\n-\t.\t.\t.\t.\tA.\tB.\tc\tp\tneutral\tneutral\n",
    "qnli/dev.tsv": "index\tquestion\tsentence\tlabel\n" + _PAIR,
    "rte/dev.tsv": _SENTENCES + "label\n" + _PAIR,
    "wnli/dev.tsv": _SENTENCES + "label\n0\tIt ran.\tThe dog ran.\t1\n",
    "ax/AX.tsv": "index\tsentence1\tsentence2\n0\tA dog ran.\tA cat ran.\n",
    "translation/train.tsv": "the dog\tder Hund\nthe cat\tdie Katze\n",
}
COMMAS = {
    "story-cloze/cloze_test_val__spring2016 - cloze_test_ALL_val.csv": cloze_rows(10),
    "swag/val.csv": _SWAG + "0,v,1,A man sits. He,A man sits.,He,gold,eats.,sleeps.,reads.,flies.,2\n",
    "qqp/quora_duplicate_questions.tsv": QQP
    + "".join(f'{i}\t1\t2\t"Is ""{i}""\ta\nb?"\tIt?\t{i % 2}\n' for i in range(20)),
    "roc/roc.csv": "storyid,storytitle,sentence1,sentence2,sentence3,sentence4,sentence5\n"
    + 'x,The Pot,A.,B.,"C, c.",D.,E.\n',
}
JSON_FILES = {
    "race/dev/high/1.txt": json.dumps(_RACE),
    "race/dev/middle/2.txt": json.dumps(_RACE),
    "squad/dev-v1.1.json": squad(_SQUAD),
}
JSON_LINES = {
    "race-high/dev.jsonl": json.dumps(_RACE | {"id": "high3.txt"}) + "\n",
    "snli/snli_1.0_dev.jsonl": json.dumps({"gold_label": "neutral", "sentence1": "C.", "sentence2": "D."}) + "\n",
    "swag/val.jsonl": json.dumps({"sent1": "A.", "sent2": "He", **{f"ending{n}": "x" for n in range(4)}, "label": 1})
    + "\n",
    "lambada/lambada_test.jsonl": json.dumps({"text": "He said \u2028 that\nit was her dog "}) + "\n",
    "xsum/val.jsonl": json.dumps({"document": "D. E.", "summary": "S."}) + "\n",
}
MARKUP = {
    "copa/copa-dev.xml": f'<?xml version="1.0" encoding="UTF-8"?>\n<copa-corpus>\n{_COPA}{_COPA}</copa-corpus>',
    "winograd/WSCollection.xml": f"<collection>\n{_SCHEMA}{_SCHEMA}</collection>",
}
PLAIN = {
    "cbt-cn/cbtest_CN_valid_2000ex.txt": _CBT,
    "dprd/dev.c.txt": "Tom thanked Ben as he knew he won.\nhe\nTom,Ben\nBen\n\nA cat bit it.\nit\nA cat,ham\nham\n",
    "cnn-dm/train/a.story": "(XYZ) -- First.\n\nSecond.\n\n@highlight\n\nOne thing\n\n@highlight\n\nAnother\n",
    "translation/train.en-de.en": "the dog\nthe cat\n",
    "translation/train.en-de.de": "der Hund\ndie Katze\n",
    "stsb/sts-dev.csv": 'g\tf\t2020\t1\t2.5\tA "cat.\tA dog.\ng\tf\t2020\t2\t0\tOne.\tTwo.\tmore\n',
    "mrpc/dev.tsv": MRPC + "1\t0\t100\tSay.\tTell.\n",
    "mrpc/train.tsv": MRPC + "1\t0\t100\tSay.\tTell.\n",
}
assert CLOZE in COMMAS["story-cloze/cloze_test_val__spring2016 - cloze_test_ALL_val.csv"]
