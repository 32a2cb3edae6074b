"""Reading of text that models, servers and logs produce: characters, thoughts, markup of tool calls."""
