"""The commands of operators: accounts, books, holds and credit, each in a file of its own."""
