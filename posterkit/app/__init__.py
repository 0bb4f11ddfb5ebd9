"""Serves posters to other programs: an HTTP API and an MCP server over one `PosterMaker`."""
