"""Packed documents: every token once, whole documents, rows that begin where a document does."""

import numpy as np
import pytest

from minigpt.data.documents import BLANK, document_pieces
from minigpt.data.packing import pack, packed_batch
from minigpt.ops import IGNORE

END = 9


def some_documents(count=300, longest=12, seed=0):
    draw = np.random.default_rng(seed)
    return [[*draw.integers(0, END, draw.integers(1, longest)).tolist(), END] for _ in range(count)]


def flat(documents):
    return np.array([i for document in documents for i in document], dtype=np.uint8)


def rows_of(packed):
    """Each row's documents, read back from its batch."""
    for number in range(packed.row_count):
        batch = packed_batch([(packed, number)])
        (inputs,), (targets,) = batch.inputs, batch.targets
        assert inputs[0] == END and (inputs[1:] == targets[:-1]).all()
        found = [[]]
        for i in targets.tolist():
            found[-1].append(i)
            if i == END:
                found.append([])
        assert found.pop() == []
        yield [tuple(document) for document in found]


@pytest.mark.parametrize("context", [12, 20, 64])
def test_every_document_is_whole_in_one_row(context):
    documents = some_documents()
    packed, rest = pack(flat(documents), END, context)
    rows = list(rows_of(packed))
    assert sorted(d for row in rows for d in row) == sorted(map(tuple, documents)) and rest.row_count == 0
    assert all(sum(map(len, row)) <= context for row in rows)
    assert packed.tokens == sum(map(len, documents)) == len(packed.stream) - 1
    if context == 64:
        assert packed.tokens / (packed.row_count * context) > 0.97  # little is filling


def test_the_last_documents_are_for_validation():
    documents = some_documents()
    train, validation = pack(flat(documents), END, 40, 0.1)
    assert sorted(d for row in rows_of(train) for d in row) == sorted(map(tuple, documents[:270]))
    assert sorted(d for row in rows_of(validation) for d in row) == sorted(map(tuple, documents[270:]))
    assert validation.stream.tolist() == [END, *flat(documents[270:]).tolist()]
    assert pack(flat(documents[:3]), END, 40, 0.01)[1].row_count == 1  # at least one


def test_long_documents_are_cut_into_rows_of_their_own():
    long = [*range(8), *range(8), END]
    packed, _ = pack(flat([[1, END], long, [2, END]]), END, 7)
    batches = [packed_batch([(packed, number)]) for number in range(packed.row_count)]
    targets = sorted(batch.targets[0].tolist() for batch in batches)
    assert targets == sorted([[1, END, 2, END], [*range(7)], [7, *range(6)], [6, 7, END]])
    second = next(batch for batch in batches if batch.targets[0, 0] == 7)
    assert second.inputs[0].tolist() == [6, 7, *range(5)]  # it goes on after what came before
    assert [packed.whole(p) for p in range(len(packed.pieces) - 1)] == [True, False, False, False, True]


def test_rows_are_filled_up_with_what_does_not_count():
    packed, _ = pack(flat([[1, 2, 3, END], [4, END]]), END, 4)
    batch = packed_batch([(packed, 0), (packed, 1)])
    assert batch.inputs.tolist() == [[END, 1, 2, 3], [END, 4, END, END]]
    assert batch.targets.tolist() == [[1, 2, 3, END], [4, END, IGNORE, IGNORE]]
    assert batch.counts() == {"tokens": 6}


def test_long_documents_come_late_in_a_row_as_often_as_early():
    documents = some_documents(3000, longest=30)
    packed, _ = pack(flat(documents), END, 60)
    first, last = zip(*((len(row[0]), len(row[-1])) for row in rows_of(packed) if len(row) > 1), strict=True)
    assert np.mean(first) == pytest.approx(np.mean(last), rel=0.1)


def test_evaluation_takes_rows_evenly():
    packed, _ = pack(flat(some_documents()), END, 40)
    assert packed.evenly(None) == list(range(packed.row_count))
    some = packed.evenly(packed.tokens // 4)
    assert packed.evenly(0) == [0]  # one row at least
    assert len(some) == packed.row_count // 4 and some[0] == 0 and set(np.diff(some)) <= {4, 5}
    sizes = [make().row_count for make in packed.batches(8, packed.tokens // 4)]
    assert sum(sizes) == len(some) and set(sizes[:-1]) == {8}


def test_blank_lines_separate_documents(tmp_path):
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("\n\none\ntwo\n\n \t\n\nthree\n")
    b.write_text("four")
    assert list(document_pieces([a, b], BLANK)) == ["one\ntwo", None, "three", None, "four", None]


def test_a_text_without_a_single_end_is_one_document_cut_off():
    ids = np.arange(5, dtype=np.uint8)
    packed, nothing = pack(ids, END, 3)
    assert packed.row_count == 2 and nothing.row_count == 0
    assert packed_batch([(packed, 0)]).targets.tolist() == [[0, 1, 2]]
    assert packed_batch([(packed, 1)]).targets[0, :2].tolist() == [3, 4]


def test_the_first_piece_is_a_document_if_it_ends_like_one():
    whole, _ = pack(np.array([5, 6, 0, 7, 0]), 0, 4)
    assert [whole.whole(n) for n in range(2)] == [True, True]
    open_ended, _ = pack(np.array([5, 6, 0, 7]), 0, 4)
    assert [open_ended.whole(n) for n in range(2)] == [True, False]
    cut, _ = pack(np.array([5, 6, 7, 8, 9, 0, 3]), 0, 4)  # a document in two pieces, and one that is cut off
    assert [cut.whole(n) for n in range(len(cut.pieces) - 1)] == [False, False, False]
    assert cut.pieces.tolist() == [0, 4, 6, 7]
