"""Mined repairs held against the grid of helper subsets: is what mining finds the smallest subset that helps?"""
