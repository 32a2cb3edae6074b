"""The OpenAI-compatible endpoint that puts notes into the requests of other people's agents."""
