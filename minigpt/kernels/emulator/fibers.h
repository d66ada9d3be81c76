// fibers.h -- how the emulator runs one block: every CUDA thread is a fiber, every barrier a hand-over.
//
// A fiber is a stack of its own that runs until it has to wait (__syncthreads, __syncwarp, a shuffle) and then hands the
// CPU back. One loop, `run_block`, resumes the fibers that may go on, in an order that the caller chooses, until all have
// returned. What goes wrong on a GPU in silence is an error here, with the line: barriers that not all threads reach,
// lanes of a warp that meet at different instructions, threads that left before a barrier.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#if !defined(__x86_64__) || defined(COC_UCONTEXT)
#include <ucontext.h>
#endif

// ---- sanitizers have to be told about fibers --------------------------------------------------------------------
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(COC_TRACE)
#define COC_TSAN 1
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned);
void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned);
void __tsan_acquire(void*);
void __tsan_release(void*);
}
#define COC_ACQUIRE(p) __tsan_acquire(p)
#define COC_RELEASE(p) __tsan_release(p)
#else
#define COC_ACQUIRE(p) ((void)(p))
#define COC_RELEASE(p) ((void)(p))
#endif
#if defined(__SANITIZE_ADDRESS__)
#define COC_ASAN 1
extern "C" {
void __sanitizer_start_switch_fiber(void**, const void*, size_t);
void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
}
#endif
// The emulator itself is not instrumented: only the kernel's own accesses are to be checked.
#define COC_NOSAN __attribute__((noinline, no_sanitize("thread"), no_sanitize("address")))
#define COC_INLINE __attribute__((always_inline)) static inline

struct uint3 { unsigned x, y, z; };

namespace coc {

// ---- switching stacks -------------------------------------------------------------------------------------------
#if defined(__x86_64__) && !defined(COC_UCONTEXT)
using Context = void*;  // a saved stack pointer; what a call must preserve is on the stack itself
extern "C" void coc_switch(void** save, void* load);
#if defined(__APPLE__)
#define COC_SYMBOL "_coc_switch"
#define COC_SECTION ""
#else
#define COC_SYMBOL "coc_switch"
#define COC_SECTION ".type coc_switch,@function\n.section .note.GNU-stack,\"\",@progbits\n.text\n"
#endif
asm(".text\n.globl " COC_SYMBOL "\n" COC_SECTION COC_SYMBOL R"(:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
COC_NOSAN static void swap_context(Context* from, Context* to) { coc_switch(from, *to); }
COC_NOSAN static void make_context(Context* c, char* stack, size_t size, void (*entry)()) {
  void** sp = (void**)(((uintptr_t)stack + size) & ~(uintptr_t)15);
  *--sp = nullptr;  // keeps rsp % 16 == 8 at the entry, as after a call
  *--sp = (void*)entry;
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  *c = sp;
}
#else
using Context = ucontext_t;
COC_NOSAN static void swap_context(Context* from, Context* to) { swapcontext(from, to); }
COC_NOSAN static void make_context(Context* c, char* stack, size_t size, void (*entry)()) {
  getcontext(c);
  c->uc_stack.ss_sp = stack;
  c->uc_stack.ss_size = size;
  c->uc_link = nullptr;
  makecontext(c, entry, 0);
}
#endif

// ---- the state of a block ---------------------------------------------------------------------------------------
enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Warp {
  int arrived = 0, lanes = 0;
  unsigned mask = 0;
  const char* op = nullptr;
  int line = 0;
  alignas(16) unsigned char slot[2][32][64];  // what the lanes exchange; two, as an early lane may be one step ahead
};
struct Fiber {
  Context context;
  uint3 tid;
  int linear = 0;
  State state = READY;
  int line = 0;
  unsigned warp_steps = 0, block_steps = 0;
  Warp* warp = nullptr;
  char* stack = nullptr;
  void *tsan = nullptr, *fake_stack = nullptr;
};
struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<int> order;
  Context main;
  void *main_tsan = nullptr, *main_fake_stack = nullptr;
  const void* main_bottom = nullptr;
  size_t main_size = 0;
  std::unique_ptr<unsigned char[]> shared;
  unsigned char* shared_start = nullptr;
  size_t shared_bytes = 0;
  int arrived = 0, done = 0, line = 0;
  std::string error;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  char sync_start, sync_block[2], sync_end;  // only their addresses matter: ThreadSanitizer's sync objects
};
static const size_t STACK = 256 * 1024;
static thread_local std::vector<std::unique_ptr<char[]>> stacks;  // kept from launch to launch
static __thread Block* block;  // not thread_local: these are read where nothing may run to initialise them
static __thread Fiber* current;
static __thread uint3 block_idx, block_dim, grid_dim;
static thread_local std::string last_error;

COC_INLINE int lane() { return current->linear & 31; }
COC_NOSAN static void fail(const char* what, int a, int b) {
  char text[256];
  snprintf(text, sizeof text, what, a, b);
  if (block->error.empty()) block->error = text;
}

COC_NOSAN static void resume(Fiber& f) {  // the loop hands the CPU to a fiber
  current = &f;
#ifdef COC_ASAN
  __sanitizer_start_switch_fiber(&block->main_fake_stack, f.stack, STACK);
#endif
#ifdef COC_TSAN
  __tsan_switch_to_fiber(f.tsan, 1 /* the switch itself orders nothing */);
#endif
  swap_context(&block->main, &f.context);
#ifdef COC_ASAN
  __sanitizer_finish_switch_fiber(block->main_fake_stack, nullptr, nullptr);
#endif
}
COC_NOSAN static void hand_back() {  // a fiber hands it back
  Fiber* me = current;
#ifdef COC_ASAN
  void** fake = me->state == DONE ? nullptr : &me->fake_stack;
  __sanitizer_start_switch_fiber(fake, block->main_bottom, block->main_size);
#endif
#ifdef COC_TSAN
  __tsan_switch_to_fiber(block->main_tsan, 1);
#endif
  swap_context(&me->context, &block->main);
#ifdef COC_ASAN
  __sanitizer_finish_switch_fiber(me->fake_stack, nullptr, nullptr);
#endif
}
COC_NOSAN static void fiber_main() {
#ifdef COC_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &block->main_bottom, &block->main_size);
#endif
  COC_ACQUIRE(&block->sync_start);
  block->body(block->argument);
  COC_RELEASE(&block->sync_end);
  current->state = DONE;
  block->done++;
  hand_back();
  abort();
}

// ---- barriers and exchanges -------------------------------------------------------------------------------------
// __syncthreads. `site` is different for every call in the source: its line, and a counter above bit 16.
COC_NOSAN static void sync_block(int site) {
  unsigned parity = current->block_steps++ & 1;  // an early thread may reach the next barrier before a late one wakes
  COC_RELEASE(&block->sync_block[parity]);
  if (block->arrived++ == 0) block->line = site;
  else if (block->line != site) fail("divergent __syncthreads: lines %d and %d", block->line & 0xffff, site & 0xffff);
  current->line = site & 0xffff;
  if (block->arrived == (int)block->fibers.size()) {
    block->arrived = 0;
    for (Fiber& f : block->fibers) if (f.state == AT_BLOCK) f.state = READY;
  } else {
    current->state = AT_BLOCK;
    hand_back();
  }
  COC_ACQUIRE(&block->sync_block[parity]);
}

// All lanes named in `mask` meet, each with `bytes` of its own that the others may then read from the result.
// Only __syncwarp (no bytes) orders memory; shuffles and MMAs exchange registers, so ThreadSanitizer is not told of them.
using Slots = unsigned char (*)[64];
COC_NOSAN static Slots sync_warp(unsigned mask, const char* op, int line, const void* in, size_t bytes) {
  Warp* w = current->warp;
  int parity = current->warp_steps++ & 1;
  if (!(mask >> lane() & 1)) fail("lane %d is not in its own mask (line %d)", lane(), line);
  for (size_t i = 0; i < bytes; ++i)  // not memcpy: ThreadSanitizer would see it
    w->slot[parity][lane()][i] = ((const volatile unsigned char*)in)[i];
  if (!bytes) COC_RELEASE(&w->slot[parity]);
  if (w->arrived++ == 0) w->mask = mask, w->op = op, w->line = line;
  else if (w->mask != mask || w->op != op || w->line != line) fail("warp divergence: lines %d and %d", w->line, line);
  current->line = line;
  unsigned live = mask & (w->lanes == 32 ? ~0u : (1u << w->lanes) - 1);
  if (w->arrived == __builtin_popcount(live)) {
    w->arrived = 0;
    for (Fiber& f : block->fibers) if (f.warp == w && f.state == AT_WARP) f.state = READY;
  } else {
    current->state = AT_WARP;
    hand_back();
  }
  if (!bytes) COC_ACQUIRE(&w->slot[parity]);
  return w->slot[parity];
}
template <class T> COC_NOSAN T shuffle(unsigned mask, T value, int source, int width, int line) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  int base = lane() & ~(width - 1);
  Slots s = sync_warp(mask, "shuffle", line, &value, sizeof value);
  if (source < base || source >= base + width) source = lane();  // out of the segment: the lane's own value
  if (!(mask >> source & 1)) fail("a shuffle reads lane %d, which is not in its mask (line %d)", source, line);
  T result;
  memcpy(&result, s[source], sizeof result);
  return result;
}
COC_NOSAN static unsigned ballot(unsigned mask, int predicate, int line) {
  Slots s = sync_warp(mask, "ballot", line, &predicate, sizeof predicate);
  unsigned result = 0;
  for (int i = 0; i < current->warp->lanes; ++i)
    if (mask >> i & 1) { int p; memcpy(&p, s[i], sizeof p); if (p) result |= 1u << i; }
  return result;
}

// ---- running a block, and a grid of them ------------------------------------------------------------------------
// order: 0 threads in turn by ascending number, 1 descending; 2 and 3 the same, but one warp runs ahead as far as it can
// (so that a missing barrier shows in the values); from 4 on that in a random order, with this seed.
// (xorshift64* and Fisher-Yates written out: <random> is half of what a small kernel takes to compile.)
struct Draw {
  uint64_t state;  // never 0
  COC_NOSAN size_t below(size_t n) {
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (size_t)((state * 0x2545f4914f6cdd1du >> 32) * n >> 32);
  }
};
template <class T> COC_NOSAN static void shuffle(std::vector<T>& items, Draw& random) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}
COC_NOSAN static bool warp_can_go_on(const Block& b, const Warp* w) {
  for (const Fiber& f : b.fibers) if (f.warp == w && f.state == READY) return true;
  return false;
}
COC_NOSAN static void run_block(Block& b, int order, Draw& random) {
  size_t n = b.fibers.size();
  memset(b.shared_start, 0xff, b.shared_bytes);  // NaN: reading what nobody wrote shows in the result
  b.arrived = b.done = 0;
  for (Warp& w : b.warps) w.arrived = 0;
  for (Fiber& f : b.fibers) {
    f.state = READY;
    f.warp_steps = f.block_steps = 0;
    make_context(&f.context, f.stack, STACK, fiber_main);
  }
  COC_RELEASE(&b.sync_start);
  while (b.done < (int)n && b.error.empty()) {
    if (order > 3) shuffle(b.order, random);
    bool progress = false;
    for (size_t k = 0; k < n && b.error.empty(); ++k) {
      Fiber& f = b.fibers[b.order[order <= 3 && order & 1 ? n - 1 - k : k]];
      if (f.state != READY) continue;
      progress = true;
      resume(f);
      if (order >= 2 && f.state != READY && warp_can_go_on(b, f.warp)) k = (size_t)-1;  // start over: the same warp first
    }
    if (!progress && b.done < (int)n && b.error.empty()) {
      int line = 0;
      for (Fiber& f : b.fibers) if (f.state != DONE) line = f.line;
      fail("deadlock: %d thread(s) finished, the others wait at line %d", b.done, line);
    }
  }
  COC_ACQUIRE(&b.sync_end);
}

struct Grid { unsigned x, y, z; };
COC_NOSAN static void prepare(Block& b, const unsigned* dim, size_t shared_bytes) {
  unsigned n = dim[0] * dim[1] * dim[2];
  b.fibers.resize(n);
  b.warps.resize((n + 31) / 32);
  b.order.resize(n);
  b.shared_bytes = shared_bytes;
  b.shared.reset(new unsigned char[shared_bytes]);
  b.shared_start = b.shared.get();
  while (stacks.size() < n) stacks.emplace_back(new char[STACK]);
  for (unsigned t = 0; t < n; ++t) {
    Fiber& f = b.fibers[t];
    f.linear = t;
    f.tid = {t % dim[0], t / dim[0] % dim[1], t / (dim[0] * dim[1])};
    f.warp = &b.warps[t / 32];
    f.warp->lanes++;
    f.stack = stacks[t].get();
    b.order[t] = t;
#ifdef COC_TSAN
    f.tsan = __tsan_create_fiber(0);
#endif
  }
#ifdef COC_TSAN
  b.main_tsan = __tsan_get_current_fiber();
#endif
}
// Blocks may run in any order on a GPU: here in the order of their numbers, backwards, or shuffled, as the threads.
COC_NOSAN static int run_grid(Block& b, const unsigned* grid, int order) {
  Draw random{0x9e3779b97f4a7c15u * (uint64_t)(order + 1)};
  std::vector<Grid> blocks;
  for (unsigned z = 0; z < grid[2]; ++z)
    for (unsigned y = 0; y < grid[1]; ++y)
      for (unsigned x = 0; x < grid[0]; ++x) blocks.push_back({x, y, z});
  if (order > 3) shuffle(blocks, random);
  else if (order & 1) std::reverse(blocks.begin(), blocks.end());
  block = &b;
  for (const Grid& g : blocks) {
    block_idx = {g.x, g.y, g.z};
    run_block(b, order, random);
    if (b.error.empty()) continue;
    char where[96];
    snprintf(where, sizeof where, " [block %u,%u,%u]", g.x, g.y, g.z);
    last_error = b.error + where;
    stacks.clear();  // fibers stopped half-way leave their marks on them
    break;
  }
#ifdef COC_TSAN
  for (Fiber& f : b.fibers) __tsan_destroy_fiber(f.tsan);
#endif
  block = nullptr;
  current = nullptr;
  return b.error.empty() ? 0 : 1;
}

template <class... A, size_t... I>
void apply(void (*kernel)(A...), std::tuple<A...>& t, std::index_sequence<I...>) { kernel(std::get<I>(t)...); }

template <class... A>
int launch(void (*kernel)(A...), const unsigned* grid, const unsigned* dim, size_t shared_bytes, int order, void** args) {
  struct Call { void (*kernel)(A...); std::tuple<A...> args; };
  size_t i = 0;
  (void)args;
  Call call{kernel, std::tuple<A...>{*(std::remove_cv_t<A>*)args[i++]...}};  // braces: from left to right
  Block b;
  block_dim = {dim[0], dim[1], dim[2]};
  grid_dim = {grid[0], grid[1], grid[2]};
  prepare(b, dim, shared_bytes);
  b.body = [](void* v) { Call* c = (Call*)v; apply(c->kernel, c->args, std::index_sequence_for<A...>{}); };
  b.argument = &call;
  return run_grid(b, grid, order);
}

// ---- what a kernel's parameters are, so that the caller's arguments can be checked -------------------------------
// NumPy's names: f4, i4, u8, V24 (a struct of 24 bytes); "r*f4" is const float*, "w*f4" is float*.
template <class T> std::string type_name() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_pointer_v<U>) {
    using E = std::remove_pointer_t<U>;
    std::string access = std::is_const_v<E> ? "r*" : "w*";
    if constexpr (std::is_void_v<std::remove_cv_t<E>>) return access;
    else return access + type_name<E>();
  } else {
    std::string size = std::to_string(sizeof(U));
    if (std::is_same_v<U, bool>) return "b1";
    if (std::is_floating_point_v<U>) return "f" + size;
    if (std::is_integral_v<U>) return (std::is_signed_v<U> ? "i" : "u") + size;
    return "V" + size;
  }
}
template <class... A> const char* signature(void (*)(A...)) {
  static const std::string text = ((type_name<A>() + " ") + ... + "");
  return text.c_str();
}
}  // namespace coc

#define COC_EXPORT extern "C" __attribute__((visibility("default")))  // the rest is hidden: a kernel may be called `read`
COC_EXPORT const char* coc_error() { return coc::last_error.c_str(); }
#define CUDA_ON_CPU_EXPORT(name)                                                                        \
  COC_EXPORT int name##__launch(const unsigned* g, const unsigned* b, size_t s, int o, void** a) {      \
    return coc::launch(name, g, b, s, o, a);                                                            \
  }                                                                                                     \
  COC_EXPORT const char* name##__signature() { return coc::signature(name); }
