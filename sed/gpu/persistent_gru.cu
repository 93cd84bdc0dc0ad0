// A bidirectional GRU layer as one persistent kernel: all time steps and both directions in a single launch.
//
// A block keeps the recurrent weights of U units of one direction for the whole sequence, in
// registers and shared memory, and computes their states for 16 clips. For the next time step it needs the states of
// all H units, which the other blocks of its direction and clips compute. No barrier tells it when they are there: the
// memory they are written to is filled with EMPTY beforehand, a pair of bf16 values that no computation gives, and a
// block loads until it finds none. All blocks must therefore be resident on the GPU at the same time.
//
// A warp multiplies a share of the H columns by the weights of all U units; the warps' products are summed in shared
// memory. Threads then compute the gates of pairs of units, since the least that is written at once is two bf16 values.
//
// `gru_forward_exact` comes near to float32, with a relative error of 2^-16 per product: it splits states and weights
// into a bf16 value and the bf16 rest, and adds three of the four products.
//
// Compiled for constants given as macros: H units per direction, U units per block, WARPS per block, HELD fragments of
// weights per thread in registers, BLOCKS that a multiprocessor must have room for, PAUSE cycles from a block's last
// store to its next load, since a load that comes too early costs a whole one more.
// Shapes, in bf16 values, with the gates r, z, n of torch.nn.GRU: gi, dgi, dgh (frames, clips, 2, 3, H), and in gi
// `repeat` times fewer frames; out, grad (frames, clips, 2, H); saved (frames, clips, 2, 4, H) r, z, n and the
// recurrent contribution to n. Pointers to u32 count pairs of values, pointers to uint4 eight of them.

#ifndef EMULATED
typedef unsigned int u32;

// Load what other blocks may be writing (so not from this multiprocessor's cache), if wanted.
__device__ __forceinline__ void load_shared(uint4& x, const uint4* p, bool wanted) {
    asm volatile("{ .reg .pred q; setp.ne.u32 q, %5, 0; @q ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4]; }"
                 : "+r"(x.x), "+r"(x.y), "+r"(x.z), "+r"(x.w) : "l"(p), "r"((u32)wanted) : "memory");
}

// Store what other blocks wait for.
__device__ __forceinline__ void store_shared(u32* p, u32 x) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" :: "l"(p), "r"(x) : "memory");
}

__device__ __forceinline__ u32 pack(float2 x) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(x.y), "f"(x.x));
    return pair;
}

__device__ __forceinline__ int cycles() { return (int)clock64(); }

__device__ __forceinline__ float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Add the product of a 16 x 16 and a 16 x 8 matrix, in the layout of PTX's mma.m16n8k16.
__device__ __forceinline__ void mma(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
        " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
#endif

constexpr u32 EMPTY = 0xffffffffu;
constexpr int THREADS = 32 * WARPS;
constexpr int CHUNKS = H / THREADS;   // a warp's columns, in chunks of 32
constexpr int TILES = U / 8;          // tiles of 8 units
constexpr int FRAGMENTS = 3 * CHUNKS * TILES;
constexpr int PAIRS = (8 * U + THREADS - 1) / THREADS;  // pairs of units per thread
static_assert(H % THREADS == 0 && H % U == 0 && U % 8 == 0, "sizes");

// Number of floats from one clip to the next of a warp's products of `width` units, without bank conflicts.
__host__ __device__ constexpr int stride(int width) { return width % 16 ? width : width + 8; }

__device__ __forceinline__ float2 unpack(u32 pair) {
    return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
}

__device__ __forceinline__ float sigmoid(float x) { return reciprocal(1.0f + __expf(-x)); }

__device__ __forceinline__ float tanh_(float x) { return 2.0f * sigmoid(2.0f * x) - 1.0f; }

// Where a thread's lane is in the fragments of `mma`, and which share of the work its block has.
struct Place {
    int lane, warp, group, clip, column, part, direction;
    bool low, high;  // whether the lane's two clips, `clip` and `clip + 8`, exist
};

__device__ __forceinline__ Place place(int clips, int first) {
    Place p;
    p.lane = threadIdx.x % 32;
    p.warp = threadIdx.x / 32;
    p.part = blockIdx.x;
    p.direction = blockIdx.y;
    p.group = 16 * (first + blockIdx.z);
    p.clip = p.group + p.lane / 4;
    p.column = p.warp * 32 * CHUNKS + 8 * (p.lane % 4);
    p.low = p.clip < clips;
    p.high = p.clip + 8 < clips;
    return p;
}

// The weights of a thread: N fragments of 8 consecutive columns of a unit, the columns of two products.
template <int N>
struct Weights {
    uint4 held[HELD < N ? HELD : N];
    uint4* rest;

    // The rest begins at fragment HELD.
    __device__ __forceinline__ uint4 get(int i) const {
        return i < HELD ? held[i] : rest[(i - HELD) * THREADS + threadIdx.x];
    }
    __device__ __forceinline__ void set(int i, uint4 x) {
        if (i < HELD) held[i] = x;
        else rest[(i - HELD) * THREADS + threadIdx.x] = x;
    }
};

__device__ __forceinline__ int fragment(int gate, int chunk, int tile) {
    return (gate * CHUNKS + chunk) * TILES + tile;
}

typedef uint4 Values[CHUNKS][2];  // a lane's values of one gate or state: of its two clips in each chunk

// STEP is the distance of chunks in memory, in uint4.
template <int STEP>
__device__ __forceinline__ void load_values(Values& x, const uint4* low, const uint4* high, const Place& p) {
    #pragma unroll
    for (int c = 0; c < CHUNKS; ++c) {
        x[c][0] = x[c][1] = make_uint4(0, 0, 0, 0);
        load_shared(x[c][0], low + STEP * c, p.low);
        load_shared(x[c][1], high + STEP * c, p.high);
    }
}

__device__ __forceinline__ bool empty(uint4 x) { return x.x == EMPTY | x.y == EMPTY | x.z == EMPTY | x.w == EMPTY; }

// Load again what is not there yet, until the whole warp has its values.
template <int STEP>
__device__ __forceinline__ void await_values(Values& x, const uint4* low, const uint4* high) {
    for (;;) {
        bool missing[CHUNKS][2], any = false;
        #pragma unroll
        for (int c = 0; c < CHUNKS; ++c)
            #pragma unroll
            for (int i = 0; i < 2; ++i) any |= missing[c][i] = empty(x[c][i]);
        if (!__any_sync(0xffffffffu, any)) return;
        #pragma unroll
        for (int c = 0; c < CHUNKS; ++c) {
            load_shared(x[c][0], low + STEP * c, missing[c][0]);
            load_shared(x[c][1], high + STEP * c, missing[c][1]);
        }
    }
}

__device__ __forceinline__ void multiply(float (&sum)[4], const uint4 (&x)[2], uint4 w) {
    mma(sum, x[0].x, x[1].x, x[0].y, x[1].y, w.x, w.y);
    mma(sum, x[0].z, x[1].z, x[0].w, x[1].w, w.z, w.w);
}

// Write a warp's products for others to sum, once all threads have read the last ones.
template <int N>
__device__ __forceinline__ void share(float* products, const float (&sums)[N][4], const Place& p) {
    __syncthreads();
    float* at = products + (p.warp * 16 + p.lane / 4) * stride(8 * N) + 2 * (p.lane % 4);
    #pragma unroll
    for (int i = 0; i < N; ++i) {
        *(float2*)(at + 8 * i) = make_float2(sums[i][0], sums[i][1]);
        *(float2*)(at + 8 * stride(8 * N) + 8 * i) = make_float2(sums[i][2], sums[i][3]);
    }
    __syncthreads();
}

// Wait for PAUSE cycles since `then`.
__device__ __forceinline__ void pause_since(int then) {
    if (PAUSE > 0)
        while (cycles() - then < PAUSE) {}
}

// Add all warps' products of a clip (a row) for two units, the column and the next.
template <int WIDTH>
__device__ __forceinline__ void add_products(float2& sum, const float* products, int row, int column) {
    #pragma unroll
    for (int w = 0; w < WARPS; ++w) {
        const float2 x = *(const float2*)(products + (w * 16 + row) * stride(WIDTH) + column);
        sum.x += x.x;
        sum.y += x.y;
    }
}

// The pairs of units whose gates a thread computes.
struct Pairs {
    int row[PAIRS], column[PAIRS];  // in the products of a warp: the clip, the first unit
    int clip[PAIRS], unit[PAIRS];   // in the batch; in the states of a direction, in pairs
    bool live[PAIRS];               // false: none

    __device__ __forceinline__ Pairs(const Place& p, int clips) {
        #pragma unroll
        for (int i = 0; i < PAIRS; ++i) {
            const int pair = threadIdx.x + i * THREADS;
            row[i] = pair < 8 * U ? pair / (U / 2) : 0;
            column[i] = 2 * (pair % (U / 2));
            clip[i] = p.group + row[i];
            unit[i] = (p.part * U + column[i]) / 2;
            live[i] = pair < 8 * U && clip[i] < clips;
        }
    }
};

// Whether a warp computes gates at all.
__device__ __forceinline__ bool computes_gates() { return PAIRS > 1 || threadIdx.x < 8 * U; }

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gru_forward(
    const u32* gi, const uint4* weights, const u32* bias, u32* out, u32* saved,
    int frames, int clips, int repeat, int save, int first
) {
    extern __shared__ uint4 memory[];
    const Place p = place(clips, first);
    float* products = (float*)(memory + (FRAGMENTS > HELD ? FRAGMENTS - HELD : 0) * THREADS);
    Weights<FRAGMENTS> w;
    w.rest = memory;
    #pragma unroll
    for (int gate = 0; gate < 3; ++gate)
        #pragma unroll
        for (int c = 0; c < CHUNKS; ++c)
            #pragma unroll
            for (int j = 0; j < TILES; ++j) {
                const size_t row = (p.direction * 3 + gate) * H + p.part * U + 8 * j + p.lane / 4;
                w.set(fragment(gate, c, j), weights[(row * H + p.column + 32 * c) / 8]);
            }
    const Pairs pairs(p, clips);
    // Offsets within a time step, and the steps' addresses, which move by a step's size.
    int input_offset[PAIRS], out_offset[PAIRS], saved_offset[PAIRS];
    float2 state[PAIRS], bias_[PAIRS][3];
    #pragma unroll
    for (int i = 0; i < PAIRS; ++i) {
        input_offset[i] = (pairs.clip[i] * 2 + p.direction) * (3 * H / 2) + pairs.unit[i];
        out_offset[i] = (pairs.clip[i] * 2 + p.direction) * (H / 2) + pairs.unit[i];
        saved_offset[i] = (pairs.clip[i] * 2 + p.direction) * (4 * H / 2) + pairs.unit[i];
        state[i] = make_float2(0.0f, 0.0f);
        #pragma unroll
        for (int gate = 0; gate < 3; ++gate)
            bias_[i][gate] = unpack(bias[(p.direction * 3 + gate) * (H / 2) + pairs.unit[i]]);
    }
    const ptrdiff_t size = (p.direction ? -1 : 1) * (ptrdiff_t)clips * H;  // of the states of a step
    const int start = p.direction ? frames - 1 : 0;
    gi += (ptrdiff_t)(start / repeat) * clips * (3 * H);
    out += (ptrdiff_t)start * clips * H;
    saved += (ptrdiff_t)start * clips * (4 * H);
    const uint4* low = (const uint4*)out + ((p.clip * 2 + p.direction) * H + p.column) / 8;
    u32 input[PAIRS][3];
    const auto load_input = [&] {
        #pragma unroll
        for (int i = 0; i < PAIRS; ++i)
            #pragma unroll
            for (int gate = 0; gate < 3; ++gate)
                if (pairs.live[i]) input[i][gate] = __ldg(gi + input_offset[i] + gate * (H / 2));
    };
    load_input();
    int same = repeat;  // steps with the present input
    int stored = 0;     // when the last states were stored
    for (int s = 0; s < frames; ++s) {
        if (s > 0) {
            Values x;
            pause_since(stored);
            load_values<4>(x, low, low + 2 * H, p);
            await_values<4>(x, low, low + 2 * H);
            low += size / 4;
            float sums[3 * TILES][4] = {};
            #pragma unroll
            for (int c = 0; c < CHUNKS; ++c)
                #pragma unroll
                for (int gate = 0; gate < 3; ++gate)
                    #pragma unroll
                    for (int j = 0; j < TILES; ++j)
                        multiply(sums[gate * TILES + j], x[c], w.get(fragment(gate, c, j)));
            share(products, sums, p);
        }
        stored = cycles();
        if (!computes_gates()) continue;
        float2 sum[PAIRS][3];
        #pragma unroll
        for (int i = 0; i < PAIRS; ++i)
            #pragma unroll
            for (int gate = 0; gate < 3; ++gate) {
                sum[i][gate] = bias_[i][gate];
                if (s > 0) add_products<3 * U>(sum[i][gate], products, pairs.row[i], gate * U + pairs.column[i]);
            }
        u32 gates[PAIRS][4], packed[PAIRS];
        #pragma unroll
        for (int i = 0; i < PAIRS; ++i) {
            const float2 ir = unpack(input[i][0]), iz = unpack(input[i][1]), in = unpack(input[i][2]), hn = sum[i][2];
            const float2 r = make_float2(sigmoid(ir.x + sum[i][0].x), sigmoid(ir.y + sum[i][0].y));
            const float2 z = make_float2(sigmoid(iz.x + sum[i][1].x), sigmoid(iz.y + sum[i][1].y));
            const float2 n = make_float2(tanh_(in.x + r.x * hn.x), tanh_(in.y + r.y * hn.y));
            state[i] = make_float2(n.x + z.x * (state[i].x - n.x), n.y + z.y * (state[i].y - n.y));
            packed[i] = pack(state[i]);
            gates[i][0] = pack(r);
            gates[i][1] = pack(z);
            gates[i][2] = pack(n);
            gates[i][3] = pack(hn);
        }
        #pragma unroll
        for (int i = 0; i < PAIRS; ++i)
            if (pairs.live[i]) store_shared(out + out_offset[i], packed[i]);
        stored = cycles();
        out += size;
        if (save) {
            #pragma unroll
            for (int i = 0; i < PAIRS; ++i)
                #pragma unroll
                for (int k = 0; k < 4; ++k)
                    if (pairs.live[i]) saved[saved_offset[i] + k * (H / 2)] = gates[i][k];
            saved += 4 * size;
        }
        if (--same == 0 && s + 1 < frames) {
            same = repeat;
            gi += 3 * size;
            load_input();
        }
    }
}

// A value, to 2^-17, in a word: the nearest bf16 value in its lower half, the bf16 rest in its upper half.
__device__ __forceinline__ u32 split(float x) {
    const float high = unpack(pack(make_float2(x, 0.0f))).x;
    return pack(make_float2(high, x - high));
}

// The bf16 values, and the rests, of eight words.
__device__ __forceinline__ void halves(const uint4 (&x)[2], uint4& high, uint4& low) {
    high = make_uint4(__byte_perm(x[0].x, x[0].y, 0x5410), __byte_perm(x[0].z, x[0].w, 0x5410),
                      __byte_perm(x[1].x, x[1].y, 0x5410), __byte_perm(x[1].z, x[1].w, 0x5410));
    low = make_uint4(__byte_perm(x[0].x, x[0].y, 0x7632), __byte_perm(x[0].z, x[0].w, 0x7632),
                     __byte_perm(x[1].x, x[1].y, 0x7632), __byte_perm(x[1].z, x[1].w, 0x7632));
}

// Forward in float32, for inference: gi and bias in float32, `weights` (2, 2, 3, H, H) the bf16 values and the rests,
// `out` a word (see `split`) per value.
extern "C" __global__ void __launch_bounds__(THREADS, 1) gru_forward_exact(
    const float2* gi, const uint4* weights, const float2* bias, u32* out, int frames, int clips, int repeat, int first
) {
    extern __shared__ uint4 memory[];
    const Place p = place(clips, first);
    float* products = (float*)(memory + (2 * FRAGMENTS > HELD ? 2 * FRAGMENTS - HELD : 0) * THREADS);
    Weights<2 * FRAGMENTS> w;
    w.rest = memory;
    #pragma unroll
    for (int half = 0; half < 2; ++half)
        #pragma unroll
        for (int gate = 0; gate < 3; ++gate)
            #pragma unroll
            for (int c = 0; c < CHUNKS; ++c)
                #pragma unroll
                for (int j = 0; j < TILES; ++j) {
                    const size_t row = ((half * 2 + p.direction) * 3 + gate) * H + p.part * U + 8 * j + p.lane / 4;
                    w.set(half * FRAGMENTS + fragment(gate, c, j), weights[(row * H + p.column + 32 * c) / 8]);
                }
    const Pairs pairs(p, clips);
    int input_offset[PAIRS], out_offset[PAIRS];
    float2 state[PAIRS], bias_[PAIRS][3], input[PAIRS][3];
    #pragma unroll
    for (int i = 0; i < PAIRS; ++i) {
        input_offset[i] = (pairs.clip[i] * 2 + p.direction) * (3 * H / 2) + pairs.unit[i];
        out_offset[i] = (pairs.clip[i] * 2 + p.direction) * H + 2 * pairs.unit[i];
        state[i] = make_float2(0.0f, 0.0f);
        #pragma unroll
        for (int gate = 0; gate < 3; ++gate) bias_[i][gate] = bias[(p.direction * 3 + gate) * (H / 2) + pairs.unit[i]];
    }
    const ptrdiff_t size = (p.direction ? -1 : 1) * (ptrdiff_t)clips * H;  // of the states of a step, in pairs
    const int start = p.direction ? frames - 1 : 0;
    gi += (ptrdiff_t)(start / repeat) * clips * (3 * H);
    out += (ptrdiff_t)start * clips * (2 * H);
    const uint4* low = (const uint4*)out + ((p.clip * 2 + p.direction) * H + p.column) / 4;
    const auto load_input = [&] {
        #pragma unroll
        for (int i = 0; i < PAIRS; ++i)
            #pragma unroll
            for (int gate = 0; gate < 3; ++gate)
                if (pairs.live[i]) input[i][gate] = __ldg(gi + input_offset[i] + gate * (H / 2));
    };
    load_input();
    int same = repeat, stored = 0;
    for (int s = 0; s < frames; ++s) {
        if (s > 0) {
            const uint4* high = low + 4 * H;
            Values x[2];  // four words of each chunk, and the next four
            pause_since(stored);
            load_values<8>(x[0], low, high, p);
            load_values<8>(x[1], low + 1, high + 1, p);
            await_values<8>(x[0], low, high);
            await_values<8>(x[1], low + 1, high + 1);
            low += size / 2;
            float sums[3 * TILES][4] = {};
            #pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
                uint4 value[2], rest[2];
                #pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const uint4 words[2] = {x[0][c][i], x[1][c][i]};
                    halves(words, value[i], rest[i]);
                }
                #pragma unroll
                for (int gate = 0; gate < 3; ++gate)
                    #pragma unroll
                    for (int j = 0; j < TILES; ++j) {
                        const uint4 weight = w.get(fragment(gate, c, j));
                        multiply(sums[gate * TILES + j], value, weight);
                        multiply(sums[gate * TILES + j], rest, weight);
                        multiply(sums[gate * TILES + j], value, w.get(FRAGMENTS + fragment(gate, c, j)));
                    }
            }
            share(products, sums, p);
        }
        stored = cycles();
        if (!computes_gates()) continue;
        #pragma unroll
        for (int i = 0; i < PAIRS; ++i) {
            float2 sum[3];
            #pragma unroll
            for (int gate = 0; gate < 3; ++gate) {
                sum[gate] = bias_[i][gate];
                if (s > 0) add_products<3 * U>(sum[gate], products, pairs.row[i], gate * U + pairs.column[i]);
            }
            const float2 r = make_float2(sigmoid(input[i][0].x + sum[0].x), sigmoid(input[i][0].y + sum[0].y));
            const float2 z = make_float2(sigmoid(input[i][1].x + sum[1].x), sigmoid(input[i][1].y + sum[1].y));
            const float2 n = make_float2(tanh_(input[i][2].x + r.x * sum[2].x), tanh_(input[i][2].y + r.y * sum[2].y));
            state[i] = make_float2(n.x + z.x * (state[i].x - n.x), n.y + z.y * (state[i].y - n.y));
            if (!pairs.live[i]) continue;
            store_shared(out + out_offset[i], split(state[i].x));
            store_shared(out + out_offset[i] + 1, split(state[i].y));
        }
        stored = cycles();
        out += 2 * size;
        if (--same == 0 && s + 1 < frames) {
            same = repeat;
            gi += 3 * size;
            load_input();
        }
    }
}

// The gradients of the gates' inputs, dgi, and of their recurrent contributions, dgh, which other blocks wait for.
// `transposed` has the recurrent weights as (2, H, 3 H).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gru_backward(
    const u32* grad, const uint4* transposed, const u32* out, const u32* saved, u32* dgi, u32* dgh,
    int frames, int clips, int first
) {
    extern __shared__ uint4 memory[];
    const Place p = place(clips, first);
    float* products = (float*)(memory + (FRAGMENTS > HELD ? FRAGMENTS - HELD : 0) * THREADS);
    Weights<FRAGMENTS> w;
    w.rest = memory;
    #pragma unroll
    for (int gate = 0; gate < 3; ++gate)
        #pragma unroll
        for (int c = 0; c < CHUNKS; ++c)
            #pragma unroll
            for (int j = 0; j < TILES; ++j) {
                const size_t row = p.direction * H + p.part * U + 8 * j + p.lane / 4;
                w.set(fragment(gate, c, j), transposed[(row * (3 * H) + gate * H + p.column + 32 * c) / 8]);
            }
    const Pairs pairs(p, clips);
    // Offsets within a time step, and the steps' addresses, which move by a step's size.
    int gates_offset[PAIRS], out_offset[PAIRS], saved_offset[PAIRS];
    #pragma unroll
    for (int i = 0; i < PAIRS; ++i) {
        gates_offset[i] = (pairs.clip[i] * 2 + p.direction) * (3 * H / 2) + pairs.unit[i];
        out_offset[i] = (pairs.clip[i] * 2 + p.direction) * (H / 2) + pairs.unit[i];
        saved_offset[i] = (pairs.clip[i] * 2 + p.direction) * (4 * H / 2) + pairs.unit[i];
    }
    const ptrdiff_t size = (p.direction ? 1 : -1) * (ptrdiff_t)clips * H;  // of the states of a step
    const ptrdiff_t start = (ptrdiff_t)(p.direction ? 0 : frames - 1) * clips * H;
    grad += start;
    out += start + size;  // the state before
    saved += 4 * start;
    dgi += 3 * start;
    dgh += 3 * start;
    const uint4* low = (const uint4*)dgh + ((p.clip * 2 + p.direction) * (3 * H) + p.column) / 8;
    u32 given[PAIRS][6] = {};  // of the present time step: gradient, r, z, n, contribution to n, previous state
    const auto load = [&](int s) {
        #pragma unroll
        for (int i = 0; i < PAIRS; ++i) {
            if (!pairs.live[i]) continue;
            given[i][0] = __ldg(grad + out_offset[i]);
            #pragma unroll
            for (int k = 0; k < 4; ++k) given[i][1 + k] = __ldg(saved + saved_offset[i] + k * (H / 2));
            given[i][5] = s + 1 < frames ? __ldg(out + out_offset[i]) : 0;
        }
        grad += size;
        out += size;
        saved += 4 * size;
    };
    load(0);
    float2 carry[PAIRS] = {};  // gradient of a state through the states that depend on it
    for (int s = 0; s < frames; ++s) {
        int stored = cycles();
        if (computes_gates()) {
            u32 gates[PAIRS][4];  // gradients of r, z, n and the recurrent contribution to n
            #pragma unroll
            for (int i = 0; i < PAIRS; ++i) {
                if (s > 0) add_products<U>(carry[i], products, pairs.row[i], pairs.column[i]);
                const float2 g = unpack(given[i][0]), r = unpack(given[i][1]), z = unpack(given[i][2]);
                const float2 n = unpack(given[i][3]), hn = unpack(given[i][4]), h = unpack(given[i][5]);
                const float2 dh = make_float2(g.x + carry[i].x, g.y + carry[i].y);
                const float2 dz = make_float2(
                    dh.x * (h.x - n.x) * z.x * (1.0f - z.x), dh.y * (h.y - n.y) * z.y * (1.0f - z.y));
                const float2 dn = make_float2(
                    dh.x * (1.0f - z.x) * (1.0f - n.x * n.x), dh.y * (1.0f - z.y) * (1.0f - n.y * n.y));
                gates[i][0] = pack(make_float2(dn.x * hn.x * r.x * (1.0f - r.x), dn.y * hn.y * r.y * (1.0f - r.y)));
                gates[i][1] = pack(dz);
                gates[i][2] = pack(dn);
                gates[i][3] = pack(make_float2(dn.x * r.x, dn.y * r.y));
                carry[i] = make_float2(dh.x * z.x, dh.y * z.y);
            }
            #pragma unroll
            for (int i = 0; i < PAIRS; ++i) {
                if (!pairs.live[i]) continue;
                store_shared(dgh + gates_offset[i], gates[i][0]);
                store_shared(dgh + gates_offset[i] + H / 2, gates[i][1]);
                store_shared(dgh + gates_offset[i] + H, gates[i][3]);
            }
            stored = cycles();
            #pragma unroll
            for (int i = 0; i < PAIRS; ++i)
                #pragma unroll
                for (int k = 0; k < 3; ++k)
                    if (pairs.live[i]) dgi[gates_offset[i] + k * (H / 2)] = gates[i][k];
            dgh += 3 * size;
            dgi += 3 * size;
            if (s + 1 < frames) load(s + 1);
        }
        if (s + 1 == frames) break;
        const uint4* high = low + 6 * H;
        float sums[TILES][4] = {};
        Values x[3];
        pause_since(stored);
        // The last gate is stored last: once it is there, the others most often are, too.
        load_values<4>(x[2], low + 2 * H / 8, high + 2 * H / 8, p);
        await_values<4>(x[2], low + 2 * H / 8, high + 2 * H / 8);
        load_values<4>(x[0], low, high, p);
        load_values<4>(x[1], low + H / 8, high + H / 8, p);
        #pragma unroll
        for (int c = 0; c < CHUNKS; ++c)
            #pragma unroll
            for (int j = 0; j < TILES; ++j) multiply(sums[j], x[2][c], w.get(fragment(2, c, j)));
        await_values<4>(x[0], low, high);
        await_values<4>(x[1], low + H / 8, high + H / 8);
        low += 3 * size / 4;
        #pragma unroll
        for (int gate = 0; gate < 2; ++gate)
            #pragma unroll
            for (int c = 0; c < CHUNKS; ++c)
                #pragma unroll
                for (int j = 0; j < TILES; ++j) multiply(sums[j], x[gate][c], w.get(fragment(gate, c, j)));
        share(products, sums, p);
    }
}
