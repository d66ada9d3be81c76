"""What a run says while it trains."""

import io

from minigpt.core.progress import progress_bar
from minigpt.train.config import build_config, read_preset
from minigpt.train.log import RunLog
from minigpt.train.loss import Score
from minigpt.train.report import Pace, Reporter


def test_an_evaluation_does_not_count_in_the_forecast_of_steps(tmp_path):
    with progress_bar(total=10, file=io.StringIO()) as bar:
        bar.start_t = bar.last_print_t = 1000.0
        bar._time = lambda: 1060.0  # the evaluation took a minute
        reporter = Reporter(RunLog(tmp_path), build_config(read_preset("tiny")), bar, Pace())
        reporter.evaluated(0, Score(2.0, {"tokens": 5}, {}), None)
        assert bar.start_t == bar.last_print_t == 1060.0
