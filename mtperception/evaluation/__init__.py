# SPDX-License-Identifier: Apache-2.0
"""Evaluation: how good a model is, measured the same way for every model, data set and backend."""
