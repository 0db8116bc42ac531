# SPDX-License-Identifier: Apache-2.0
"""How fast a model is on this machine, beside the same network as its authors' code runs it."""
