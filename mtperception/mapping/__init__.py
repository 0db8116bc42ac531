# SPDX-License-Identifier: Apache-2.0
"""Dense semantic mapping: depth and labels under known poses become one map that knows what it is made of."""
