"""Exercises that answer: what was right in an answer, and which known misconception it looks like. No TensorFlow, no network.

For students: `check("02.3", answer)`, `hint("02.3")`, `quiz("02")`, `progress()`.

The contract that a grader builds on. Student side and judging side are separate modules; nothing below the line is needed
where a student's code runs.

    tasks     TASKS {id: Task(id, points, name, kind, title)}, SETS {set: ExerciseSet(number, stem, title, minutes, tasks, ...)}.
              `Task.name` is the notebook's variable or function that holds the answer (answer_02_3), kind "value" or "function".
              `world_seed(set, student)`: the seed of the data that a student's notebook shows. 0 in sets 01-04, the same for the
              whole class; drawn from the student's name in 05, where the notebook's parameter `student` must be that name
              (a grader sets it after the cell tagged `parameters`).
    plain     `to_plain(value)`: exact built-in, NumPy and pandas types only, by `type(...) is`, to JSON scalars, lists, dicts and
              arrays of bool, int, float or text; refuses the rest with NotPlain. `dumps`/`loads`: the same as bytes (JSON; arrays as
              npy without pickle). `call(function, arguments)`: one outcome, {"returned": plain} or {"raised": "TypeError: ..."}.
    worlds    what the exercise notebooks show, made from a seed.
    inputs    `inputs(id, seed)`: for a function task, a list of argument lists, all plain.
    ----------
    judge     `judge(id, value, *, seed)` -> Verdict(passed, right, misconception, message); never raises for a plain `value`.
              kind "value":    value is to_plain(the variable), seed is world_seed(set, student).
              kind "function": value is [call(function, arguments) for arguments in inputs(id, seed)], with the same seed; any seed does.
              None (or a missing answer) is an exercise left untouched: not passed, with a line that helps.

Where the environment variable CXRKIT_GRADING is set, `check` judges nothing and imports no judge: it prints one line and returns 0.0.
"""

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {"check": "desk", "hint": "desk", "progress": "desk", "quiz": "quizzes"})
