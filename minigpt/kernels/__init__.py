"""CUDA kernels: the attention ladder from naive to tensor cores, their launchers, and an emulator that runs the same
sources on a CPU. kernels/README.md is where to start reading."""
