"""A small web application without and with logging, to compare what its visitors notice.

A module for each way, which imports nothing that another way needs: the memory of each is its own.
"""
