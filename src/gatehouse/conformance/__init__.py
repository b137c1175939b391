"""The repository conformance suite: does a TUF repository, any, serve only states that every client can take?

A *recording* holds what a repository served, state by state; the *laws* play python-tuf's client against it:
fresh or rested at any earlier state, caught by a change between any two of its requests, behind a cache that is
stale by one state. The room knows nothing of Gatehouse but `core`, so it judges us as it judges others.
"""
