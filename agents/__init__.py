"""Ready-made agents. They import the public `mesh` and nothing beneath it."""
