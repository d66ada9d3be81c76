// common.cuh -- what all kernels share. One source for NVRTC, nvcc and the emulator.
#pragma once
#ifndef DYNAMIC_SHARED  // the emulator has its own; CUDA takes the size from the launch
#define DYNAMIC_SHARED(T, name) extern __shared__ __align__(16) T name[]
#endif
