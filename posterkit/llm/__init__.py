"""Language and vision-language models behind one client: an endpoint, a local folder; JSON answers, cache."""
