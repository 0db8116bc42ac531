"""Puts this folder on the path, for the helper modules that several test modules share (`import malformed`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
