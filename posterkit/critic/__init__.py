"""What is wrong with a poster, in words: by rules or by a model that sees."""
