"""The only place that knows concrete adapters: settings go in, one frozen set of services comes out."""
