# SPDX-License-Identifier: Apache-2.0
"""Work that several processes divide: shards, claims, finished parts and their merge."""
