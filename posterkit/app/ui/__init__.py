"""The page: posters, batches and brand kits in a browser, over the server's own queue; needs posterkit[ui]."""
