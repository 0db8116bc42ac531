"""`python -m mtperception`: the command line."""

import sys

from mtperception.cli import main

sys.exit(main())
