"""Text in, token shards and a manifest out."""
