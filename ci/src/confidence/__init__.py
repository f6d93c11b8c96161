"""The launch gate: it runs suites, keeps their evidence, and gives one verdict."""
