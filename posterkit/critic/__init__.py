"""Critics: what is wrong with a poster, in words, by rules or by a vision-language model."""
