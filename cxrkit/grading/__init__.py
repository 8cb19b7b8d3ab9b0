"""Grading of a class's notebooks: each runs walled off, its answers are judged outside, one table and one page come out.

    submission  finds and reads notebooks as data        isolation   bubblewrap, unshare, or limits; tried before use
    sandbox     runs one notebook, watched from outside  inside/     what runs in there: the agent, and the jail's builder
    marks       plain values to points and reasons       grade       the class: parallel, resumable
    pages       the CSV, the class's page, feedback      items       difficulty, discrimination, misconceptions
"""

import os

from ..errors import CxrkitError

if os.name != "posix":
    raise CxrkitError("Grading runs on Linux and macOS. On Windows, run it inside WSL.")
