"""The real thing on free ports: PostgreSQL, both simulators, server and worker, each a process of its own."""
