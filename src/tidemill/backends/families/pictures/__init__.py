"""Pictures to batches: decoded once and mapped, or streamed from the shards by workers."""
