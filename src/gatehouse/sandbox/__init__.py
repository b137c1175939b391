"""Runs the screening in children that have no network and little of anything else.

`screener` is the parent's side, `zygote` the single-threaded process that forks, `child` what happens in the
fork before and after the first byte of an archive is read; `isolation` joins the layers (`namespaces`,
`landlock`, `seccomp`, resource limits) and tells which of them this kernel puts in force.
"""
