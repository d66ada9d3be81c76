// Keeps a GPU busy for a while, so that what is asked of it meanwhile is done without a gap: whoever times a call by events
// would otherwise time how long Python takes to ask. One thread.
extern "C" __global__ void spin(long long clocks) {
  const long long start = clock64();
  while (clock64() - start < clocks) {}
}
