"""Local model servers: llama.cpp in process, vLLM."""
