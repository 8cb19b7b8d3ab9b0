"""Times one step of the threshold lab's slider, as a browser causes it: benchmarks/threshold_lab.csv.

A kernel is started and shows the explorer (five panels, intervals included) or all six views. Each step is a message to the
slider, as a front end sends it; taken are the time inside the kernel (state, drawing, sending) and the time until this process
has every answer. Run: python benchmarks/threshold_lab.py "describe the machine in words"
"""

import csv
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jupyter_client.manager import KernelManager

HERE = Path(__file__).resolve().parent
STEPS = 60
SETUP = """
import time, tempfile, numpy as np, pandas as pd
from pathlib import Path
from cxrkit.widgets import ThresholdLab
rng = np.random.default_rng(0)
labels = (rng.random({n}) < 0.625).astype(int)
probabilities = 1 / (1 + np.exp(-rng.normal(2.4 * labels - 1.2, 1.2)))
path = Path(tempfile.mkdtemp()) / "films.csv"
pd.DataFrame(dict(path=[f"f{{i}}" for i in range({n})], label=labels, probability=probabilities.round(6), patient=np.arange({n}) // 2)).to_csv(path, index=False)
lab = ThresholdLab(path)
lab.prevalence_percent = 5.0  # intervals of the predictive values too
views = [getattr(lab, name)() for name in {views}]
for view in views:
    lab.attach(view)
slider = views[0].widget.children[1].children[0]
"""


def measure(n, views):
    """Return (median and 95th percentile of the milliseconds in the kernel, median milliseconds with the way there and back)."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        run(client, SETUP.format(n=n, views=views))
        model = run(client, "print(slider.model_id)").strip()
        run(client, HOOK)
        whole = []
        for value in np.linspace(0.2, 0.8, STEPS):
            content = {"comm_id": model, "data": {"method": "update", "state": {"value": float(round(value, 3))}, "buffer_paths": []}}
            message = client.session.msg("comm_msg", content)
            start = time.perf_counter()
            client.shell_channel.send(message)
            wait_until_idle(client, message["header"]["msg_id"])
            whole.append(1000 * (time.perf_counter() - start))
        inside = [float(v) for v in run(client, "print(*took)").split()]
        assert len(inside) == STEPS, f"{len(inside)} steps were taken, not {STEPS}"
        return float(np.median(inside)), float(np.percentile(inside, 95)), float(np.median(whole))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# The kernel's own handler of a front end's message, timed from its arrival to the last answer sent.
HOOK = """
took = []
original = slider._handle_msg
def timed(message):
    start = time.perf_counter()
    original(message)
    took.append(1000 * (time.perf_counter() - start))
slider.comm.on_msg(timed)
"""


def run(client, code):
    """Run code in the kernel and return what it printed."""
    printed, failed = [], []

    def take(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
        elif message["msg_type"] == "error":
            failed.append(message["content"]["evalue"])

    client.execute_interactive(code, timeout=300, output_hook=take, allow_stdin=False)
    if failed:
        sys.exit(f"The kernel said: {failed[0]}")
    return "".join(printed)


def wait_until_idle(client, parent):
    """Take every answer to a message, up to the kernel's word that it is done."""
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") == parent and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return


def main(machine: Annotated[str, typer.Argument(help="the machine in words")], out: Annotated[Path, typer.Option(help="the results file, which is replaced")] = HERE / "threshold_lab.csv"):
    """Time a step of the threshold lab's slider in a kernel."""
    rows = []
    for n in (624, 100_000):
        for name, views in (("explorer", ["explorer"]), ("all six views", ["explorer", "costs", "prevalence", "calibration", "reader", "reveal"])):
            median, p95, whole = measure(n, views)
            rows.append({"films": n, "shown": name, "kernel_ms_median": f"{median:.1f}", "kernel_ms_p95": f"{p95:.1f}", "round_trip_ms_median": f"{whole:.1f}",
                         "steps": STEPS, "machine": machine})
            print(f"{n:>7,} films, {name:<13}: {median:5.1f} ms in the kernel (95 of 100 below {p95:.1f}), {whole:5.1f} ms there and back")
    with open(out, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    typer.run(main)
