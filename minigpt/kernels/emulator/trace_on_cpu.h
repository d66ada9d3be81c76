// trace_on_cpu.h -- every access to memory, written down: who, when, where.
//
// The compiler's own instrumentation for ThreadSanitizer calls a function before each load and store that is not a
// register's. Here those functions are not the sanitizer's: they note the access, for minigpt/kernels/trace.py to read.
// Kernels need no change for it.
#pragma once
#include "fibers.h"

namespace coc {
struct Access {
  uint64_t address;
  uint32_t step, block;   // the how-manieth access of the launch; the block's number, x fastest
  uint16_t thread, phase; // within the block; how many __syncthreads the thread has passed
  uint8_t size, write;
};
static __thread Access* accesses;  // not a std::vector: its functions would be instrumented too
static __thread size_t length, room;
static __thread uint64_t shared_address;
COC_NOSAN static void note(const volatile void* p, unsigned size, bool write) {
  if (!current) return;
  if ((uintptr_t)p - (uintptr_t)current->stack < STACK) return;  // the thread's own variables
  shared_address = (uintptr_t)block->shared_start;
  unsigned b = block_idx.x + grid_dim.x * (block_idx.y + grid_dim.y * block_idx.z);
  if (length == room) accesses = (Access*)realloc(accesses, (room = 2 * room + 4096) * sizeof(Access));
  accesses[length] = {(uint64_t)(uintptr_t)p, (uint32_t)length, b, (uint16_t)current->linear,
                      (uint16_t)current->block_steps, (uint8_t)size, (uint8_t)write};
  ++length;
}
COC_NOSAN static void note_range(const void* p, size_t n, bool write) {
  for (size_t i = 0; i < n; i += 16) note((const char*)p + i, n - i < 16 ? (unsigned)(n - i) : 16, write);
}
}  // namespace coc

#if defined(__has_attribute) && __has_attribute(disable_sanitizer_instrumentation)  // clang: of atomics too
#define COC_HOOK extern "C" __attribute__((disable_sanitizer_instrumentation))
#else
#define COC_HOOK extern "C" __attribute__((no_sanitize("thread")))
#endif
#define COC_HOOKS(size)                                                          \
  COC_HOOK void __tsan_read##size(void* p) { coc::note(p, size, false); }            \
  COC_HOOK void __tsan_write##size(void* p) { coc::note(p, size, true); }            \
  COC_HOOK void __tsan_unaligned_read##size(void* p) { coc::note(p, size, false); }  \
  COC_HOOK void __tsan_unaligned_write##size(void* p) { coc::note(p, size, true); }
COC_HOOKS(1)
COC_HOOKS(2)
COC_HOOKS(4)
COC_HOOKS(8)
COC_HOOKS(16)
COC_HOOK void __tsan_init() {}
COC_HOOK void __tsan_func_entry(void*) {}
COC_HOOK void __tsan_func_exit() {}
COC_HOOK void __tsan_vptr_update(void**, void*) {}
COC_HOOK void __tsan_read_range(void* p, unsigned long n) { coc::note_range(p, n, false); }
COC_HOOK void __tsan_write_range(void* p, unsigned long n) { coc::note_range(p, n, true); }
COC_HOOK void* __tsan_memcpy(void* to, const void* from, size_t n) {  // clang's
  coc::note_range(from, n, false);
  coc::note_range(to, n, true);
  return __builtin_memcpy(to, from, n);
}
COC_HOOK void* __tsan_memmove(void* to, const void* from, size_t n) {
  coc::note_range(from, n, false);
  coc::note_range(to, n, true);
  return __builtin_memmove(to, from, n);
}
COC_HOOK void* __tsan_memset(void* to, int value, size_t n) {
  coc::note_range(to, n, true);
  return __builtin_memset(to, value, n);
}
// Atomics (cuda_on_cpu.h): an access, and then what was asked for.
COC_HOOK unsigned __tsan_atomic32_load(const volatile void* p, int) {
  coc::note(p, 4, false);
  return __atomic_load_n((const volatile unsigned*)p, __ATOMIC_RELAXED);
}
COC_HOOK unsigned char __tsan_atomic8_load(const volatile void* p, int) {  // a guard of the C++ library's
  return __atomic_load_n((const volatile unsigned char*)p, __ATOMIC_ACQUIRE);
}
COC_HOOK bool __tsan_atomic32_compare_exchange_strong(volatile void* p, void* expected, unsigned v, int, int) {
  coc::note(p, 4, true);
  return __atomic_compare_exchange_n((volatile unsigned*)p, (unsigned*)expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
COC_HOOK unsigned __tsan_atomic32_compare_exchange_val(volatile void* p, unsigned expected, unsigned v, int, int) {
  coc::note(p, 4, true);
  __atomic_compare_exchange_n((volatile unsigned*)p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
COC_HOOK unsigned __tsan_atomic32_fetch_add(volatile void* p, unsigned v, int) {
  coc::note(p, 4, true);
  return __atomic_fetch_add((volatile unsigned*)p, v, __ATOMIC_RELAXED);
}
COC_HOOK unsigned __tsan_atomic32_fetch_or(volatile void* p, unsigned v, int) {
  coc::note(p, 4, true);
  return __atomic_fetch_or((volatile unsigned*)p, v, __ATOMIC_RELAXED);
}

COC_EXPORT void coc_trace_start() { coc::length = 0; }
COC_EXPORT size_t coc_trace_length() { return coc::length; }
COC_EXPORT const void* coc_trace_data() { return coc::accesses; }
COC_EXPORT uint64_t coc_shared_address() { return coc::shared_address; }
