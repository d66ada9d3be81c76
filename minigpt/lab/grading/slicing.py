"""The statements of a notebook that one answer needs, found by reading alone: nothing of the notebook is run.

An answer is what `check_exercise("05-attention/1", …)` is given; where that line is gone, what a cell with nbgrader's
`grade_id` defines last, and where there is none either, the last function of the exercise's name. What it needs is
followed through names: a function needs the functions, imports and constants that it mentions, and they theirs.

The student's process has a copy of this file: a text that breaks Python's parser breaks there.
"""

import ast
import symtable


class NotFound(Exception):
    """There is no answer; the message says what is wrong."""


class Statement:
    """A statement at the top of a cell: where it stands, the names that it makes, and those that it reads."""

    def __init__(self, cell, node):
        self.cell, self.node = cell, node
        self.makes = made_by(node)
        self.now, self.later = read_by(node)


def plain_python(text):
    """A cell without IPython's own lines; None if it is in another language."""
    if text.lstrip().startswith("%%"):
        return None
    lines = []
    for line in text.split("\n"):
        stripped = line.lstrip()
        lines.append(line[: len(line) - len(stripped)] + "pass" if stripped[:1] in ("%", "!") else line)
    return "\n".join(lines)


def made_by(node):
    """The names that a statement binds, those of functions inside it left out."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    names, left = set(), [node]
    while left:
        inner = left.pop()
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(inner.name)
            continue
        if isinstance(inner, ast.Lambda):
            continue
        if isinstance(inner, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in inner.names}
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.add(inner.id)
        left.extend(ast.iter_child_nodes(inner))
    return names


def read_by(node):
    """The global names that a statement reads when it is run, and those that its functions read when called."""
    top = symtable.symtable(ast.unparse(node), "cell", "exec")
    now = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    if isinstance(node, ast.AugAssign):
        now |= made_by(node)
    later, left = set(), list(top.get_children())
    while left:
        table = left.pop()
        later |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        left.extend(table.get_children())
    return now, later - now


def statements(cells, wanted):
    """All statements of the cells that parse; a cell that does not is an error only if it has the answer."""
    found = []
    for number, text in enumerate(cells):
        text = plain_python(text)
        if text is None:
            continue
        try:
            tree = ast.parse(text, f"cell {number}")
            found += [Statement(number, node) for node in tree.body]
        except SyntaxError as error:
            if wanted(number, text):
                raise NotFound(f"the cell is no Python: {error.msg} (line {error.lineno} of it)") from None
    return found


def checked(node, name):
    """What `check_exercise(name, …)` inside a statement is given, or None."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and len(inner.args) == 2:
            called = getattr(inner.func, "id", getattr(inner.func, "attr", None))
            if called == "check_exercise" and isinstance(inner.args[0], ast.Constant) and inner.args[0].value == name:
                return inner.args[1]
    return None


def answer_of(found, name, ids, function):
    """The expression that is the answer, and the number of the statement behind which it is read."""
    for place in reversed(range(len(found))):
        expression = checked(found[place].node, name)
        if expression is not None:
            return expression, place
    own = [i for i, s in enumerate(found) if ids[s.cell] == name.replace("/", "-") and s.makes]
    if not own:
        own = [i for i, s in enumerate(found) if function and function in s.makes]
    if not own:
        raise NotFound("there is no answer to it: neither a check_exercise line nor the function")
    last = found[own[-1]]
    chosen = function if function in last.makes else sorted(last.makes)[0]
    return ast.Name(chosen, ast.Load()), own[-1] + 1


def needed(found, names, place):
    """The numbers of the statements that make what `names`, read behind `place`, need; in their order."""
    chosen, left = set(), [(name, place, place) for name in names]
    while left:
        name, before, checked_at = left.pop()
        makers = [i for i, statement in enumerate(found) if name in statement.makes]
        earlier = [i for i in makers if i < before]
        if not makers or (earlier or makers)[-1 if earlier else 0] in chosen:
            continue
        maker = earlier[-1] if earlier else makers[0]
        chosen.add(maker)
        left += [(other, maker, checked_at) for other in found[maker].now]
        left += [(other, max(checked_at, maker), checked_at) for other in found[maker].later]
    return sorted(chosen)


def slice_answer(cells, ids, name, function):
    """The statements to run, as (cell, node), and the expression of the answer.

    Args:
        cells: the texts of the code cells; a Python file is one.
        ids: nbgrader's grade_id of each, or None.
        name: such as "05-attention/1".
        function: the name that the exercise gives its function, or None.
    Raises:
        NotFound: see there.
    """
    found = statements(cells, lambda number, text: name in text or ids[number] == name.replace("/", "-"))
    expression, place = answer_of(found, name, ids, function)
    node = ast.fix_missing_locations(ast.Expr(expression))
    now, later = read_by(node)
    return [(found[i].cell, found[i].node) for i in needed(found, now | later, place)], expression
