"""Work that several processes divide: shards, claims, finished parts and their merge."""
