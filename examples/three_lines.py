"""The three lines that a training script needs: import, start, log.

python examples/three_lines.py && trailhouse spool list
"""

from __future__ import annotations

import math

import trailhouse

with trailhouse.start_run(project="examples", name="three lines", params={"learning_rate": 0.1}) as run:
    for step in range(100):
        run.log({"loss": math.exp(-0.1 * step)}, step=step)
