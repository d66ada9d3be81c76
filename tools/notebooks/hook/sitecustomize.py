"""Python runs this at its start where this folder is on its path: it records what is entered of the package."""

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

spec = spec_from_file_location("recording", Path(__file__).parents[1] / "recording.py")
recording = module_from_spec(spec)
spec.loader.exec_module(recording)
recording.start(Path(os.environ["MINIGPT_RECORDING"]))
