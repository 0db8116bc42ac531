# SPDX-License-Identifier: Apache-2.0
"""The torch backend on a CUDA device: one upload, one CUDA graph, one download. Importing it needs no GPU."""
