"""Counts the graphs that torch.compile makes."""

import contextlib

import torch
from torch._dynamo import config as dynamo
from torch._dynamo import lookup_backend

# The compiler's limit of graphs for one piece of code, by its name in torch.
LIMIT = "recompile_limit" if hasattr(dynamo, "recompile_limit") else "cache_size_limit"


class Graphs:
    """Counts what torch.compile makes, and runs it as autograd sees it."""

    def __init__(self):
        self.count = 0

        def backend(graph, inputs):
            self.count += 1
            return lookup_backend("aot_eager")(graph, inputs)

        self.backend = backend  # one for all, as graphs are shared by blocks that have the same

    def compile_blocks(self, blocks):
        for block in blocks:
            block.compile(backend=self.backend)


@contextlib.contextmanager
def fresh_compiler():
    """A compiler that is as in a fresh process."""
    with dynamo.patch({"skip_nnmodule_hook_guards": True, LIMIT: 8}):
        torch._dynamo.reset()
        yield Graphs()
        torch._dynamo.reset()


def limit(graphs):
    """While it is entered, so many graphs may be made for one piece of code."""
    return dynamo.patch({LIMIT: graphs})
