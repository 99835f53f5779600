"""How far the paper's recipe goes on MNIST: runs that can be gone on with, and their report."""
