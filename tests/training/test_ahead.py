"""What a process has loaded once the user has chosen, and that it is done once."""

import subprocess
import sys

SCRIPT = """
import sys
from orangecontrib.imagemining.training.ahead import load_ahead
assert "torch" not in sys.modules
first = load_ahead()
assert load_ahead() is first
first.join()
before = set(sys.modules)
from torch import nn
from orangecontrib.imagemining.training.optim import optimizer_for
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.starting import parts_of
parts_of(Plan(start="nothing"), 5)
optimizer = optimizer_for(nn.Linear(2, 2), Plan().recipe)
optimizer.zero_grad()
optimizer.step()
print(len([name for name in set(sys.modules) - before if name.startswith("torch")]))
"""


def test_next_to_nothing_of_torch_is_left_to_load_when_the_training_starts():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # torch's optimizers load its compiler, which is hundreds of modules
    assert int(done.stdout) < 10
