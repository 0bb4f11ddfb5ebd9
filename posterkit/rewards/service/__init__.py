"""Where rewards run: this process, worker processes, another machine."""
