"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_EVERY = 0.25  # seconds between two pictures of the bar

# figures by their name in the log: how they are written, in the order of the lines
_SHOWN = {
    "loss": "loss {:.4f}", "reward": "reward {:.3f}", "grad_norm": "grad {:.2f}", "images_per_s": "{:.1f} images/s",
    "tokens_per_s": "{:.0f} tokens/s", "memory_gib": "{:.1f} GiB", "data_wait": "wait {:.0%}",
}  # fmt: skip


class Lines:
    """A line for each row of the log.

    Args:
        steps: of the whole run.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def due(self) -> bool:
        """Whether to show figures now, beside those of the log's rows."""
        return False

    def show(self, step: int, figures: dict[str, Any], left: float, row: bool) -> None:
        """Figures at a step.

        Args:
            left: seconds until the run ends.
            row: they are those of a row of the log.
        """
        if row:
            print(f"step {step}/{self.steps}  {_line(figures)}  {clock(left)} left", flush=True)

    def close(self) -> None:
        pass


class Bar(Lines):
    """A progress bar of two lines at the foot of the terminal; other lines appear above it.

    It has no thread: it is redrawn after a step, at most four times a second.
    """

    def __init__(self, console: Console, steps: int) -> None:
        super().__init__(steps)
        self._drawn, self._figures = 0.0, dict[str, Any]()
        self.live = Live(console=console, auto_refresh=False, transient=False)
        self.live.start()

    def due(self) -> bool:
        return time.monotonic() - self._drawn > _EVERY

    def show(self, step: int, figures: dict[str, Any], left: float, row: bool) -> None:
        self._drawn = time.monotonic()
        self._figures |= figures  # some come with the rows only
        self.live.update(picture_of(step, self.steps, self._figures, left), refresh=True)

    def close(self) -> None:
        self.live.stop()


def screen_for(console: Console, steps: int) -> Lines:
    """A bar on a terminal that can draw one, else lines."""
    return Bar(console, steps) if console.is_terminal and not console.is_dumb_terminal else Lines(steps)


def picture_of(step: int, steps: int, figures: dict[str, Any], left: float) -> Group:
    """The two lines of the bar, at most 80 columns wide where the terminal is no wider."""
    head = Table.grid(expand=True, padding=(0, 2, 0, 0))
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    ends = datetime.now() + timedelta(seconds=left)
    when = f"{ends:%H:%M}" if ends.date() == datetime.now().date() else f"{ends:%a %d %b %H:%M}"
    head.add_row(
        Text(f"step {step}/{steps}", style="bold"),
        ProgressBar(total=steps, completed=step),
        Text(f"{clock(left)} left, ends {when}"),
    )
    return Group(head, Text(_line(figures), style="cyan", no_wrap=True, overflow="ellipsis"))


def _line(figures: dict[str, Any]) -> str:
    return "  ".join(pattern.format(figures[name]) for name, pattern in _SHOWN.items() if name in figures)


def clock(seconds: float) -> str:
    """0:35, 12:05, 3:12:05, 2 d 3:12."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
