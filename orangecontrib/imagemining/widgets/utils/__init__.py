"""Qt parts that several widgets share."""
