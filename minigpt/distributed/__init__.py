"""One run on several processes, of one machine or of many: who they are, what they say to each other, and which part of
the parameters each of them sums up and updates.

Processes of MPI are called ranks. Control (small values, errors, who stops) always goes over MPI, through mpi4py; large
arrays go over MPI, or from GPU to GPU over NCCL. docs/many-machines.md says how to start them.
"""
