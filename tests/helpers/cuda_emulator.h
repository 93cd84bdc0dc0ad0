// Runs the kernels of sed/gpu/persistent_gru.cu on a CPU, to test their indexing and arithmetic: a process per
// block, a thread per thread. `emulate` launches a kernel.

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#define EMULATED
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__
#define __launch_bounds__(...)

typedef uint32_t u32;
struct uint4 { u32 x, y, z, w; };
struct float2 { float x, y; };
struct dim3 { int x, y, z; };

inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float __uint_as_float(u32 x) { float f; std::memcpy(&f, &x, 4); return f; }
inline u32 __float_as_uint(float f) { u32 x; std::memcpy(&x, &f, 4); return x; }
inline float reciprocal(float x) { return 1.0f / x; }
inline float __expf(float x) { return std::exp(x); }
inline int cycles() { return 0; }
inline u32 __byte_perm(u32 a, u32 b, u32 selection) {
    const uint64_t bytes = (uint64_t)b << 32 | a;
    u32 x = 0;
    for (int i = 0; i < 4; ++i) x |= (u32)(bytes >> 8 * (selection >> 4 * i & 7) & 0xff) << 8 * i;
    return x;
}
template <class T> T __ldg(const T* p) { return *p; }
using std::max;
using std::min;

uint4 memory[1 << 14];  // of the block: each has a process of its own
thread_local dim3 threadIdx, blockIdx;
struct Warp {
    std::barrier<> barrier{32};
    u32 a[32][4], b[32][2];
    std::atomic<bool> found{false};
};
std::unique_ptr<std::barrier<>> block_barrier;
Warp warps[WARPS];

inline void __syncthreads() { block_barrier->arrive_and_wait(); }

inline bool __any_sync(u32, bool found) {
    Warp& warp = warps[threadIdx.x / 32];
    if (found) warp.found = true;
    warp.barrier.arrive_and_wait();
    const bool any = warp.found;
    warp.barrier.arrive_and_wait();
    warp.found = false;
    warp.barrier.arrive_and_wait();
    if (any) sched_yield();
    return any;
}

inline void load_shared(uint4& x, const uint4* p, bool wanted) {
    if (!wanted) return;
    u32* values = &x.x;
    for (int i = 0; i < 4; ++i) values[i] = std::atomic_ref<u32>(((u32*)p)[i]).load(std::memory_order_relaxed);
}

inline void store_shared(u32* p, u32 x) { std::atomic_ref<u32>(*p).store(x, std::memory_order_relaxed); }

inline u32 bf16(float f) {  // rounded to nearest even
    const u32 x = __float_as_uint(f);
    return (x + 0x7fff + ((x >> 16) & 1)) >> 16;
}

inline u32 pack(float2 x) { return bf16(x.x) | bf16(x.y) << 16; }

inline float half(u32 pair, int i) { return __uint_as_float(i ? pair & 0xffff0000u : pair << 16); }

// The fragments are those of PTX's documentation of mma.m16n8k16.
inline void mma(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    Warp& warp = warps[threadIdx.x / 32];
    const int lane = threadIdx.x % 32;
    const u32 a[4] = {a0, a1, a2, a3};
    std::memcpy(warp.a[lane], a, sizeof a);
    warp.b[lane][0] = b0;
    warp.b[lane][1] = b1;
    warp.barrier.arrive_and_wait();
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
        for (int k = 0; k < 16; ++k) {
            const u32 x = warp.a[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
            const u32 y = warp.b[column * 4 + k % 8 / 2][k / 8];
            c[i] += half(x, k % 2) * half(y, k % 2);
        }
    }
    warp.barrier.arrive_and_wait();
}

// Run a kernel on (x, 2, z) blocks; return how many failed. The arrays that it writes must be in memory that processes
// share.
template <class Kernel>
int emulate(int x, int z, Kernel kernel) {
    std::vector<pid_t> blocks;
    for (int i = 0; i < x * 2 * z; ++i) {
        const pid_t pid = fork();
        if (pid) {
            blocks.push_back(pid);
            continue;
        }
        alarm(100);  // a block that waits for ever
        block_barrier = std::make_unique<std::barrier<>>(32 * WARPS);
        std::vector<std::thread> threads;
        for (int t = 0; t < 32 * WARPS; ++t)
            threads.emplace_back([=] {
                threadIdx = {t, 0, 0};
                blockIdx = {i % x, i / x % 2, i / x / 2};
                kernel();
            });
        for (std::thread& thread : threads) thread.join();
        _exit(0);
    }
    int failed = 0;
    for (const pid_t pid : blocks) {
        int status;
        waitpid(pid, &status, 0);
        failed += status != 0;
    }
    return failed;
}
