"""CUDA kernels, emulated: right values in every order of threads, faults seen."""
