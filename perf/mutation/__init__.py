"""Mutation tests: whether the tests of a module notice changes of its code."""
