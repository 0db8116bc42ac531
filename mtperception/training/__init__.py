# SPDX-License-Identifier: Apache-2.0
"""Training: from data sets with uneven annotations to a checkpoint that `export` turns into a model."""
