"""Before a profile is run: its time, downloads, disk and memory, and whether everything that it needs is there."""
