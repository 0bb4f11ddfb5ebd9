"""The command line: one short file a command. Nothing here imports torch before a command runs."""
