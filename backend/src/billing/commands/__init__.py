"""The commands of operators: books, holds and credit, each in a file of its own."""
