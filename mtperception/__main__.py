# SPDX-License-Identifier: Apache-2.0
"""`python -m mtperception`: the command line."""

import sys

from mtperception.cli import main

sys.exit(main())
