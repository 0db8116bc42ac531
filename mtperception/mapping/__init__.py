"""Dense semantic mapping: depth and labels under known poses become one map that knows what it is made of."""
