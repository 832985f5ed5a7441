// Kernels as functions of one thread, so that the same code runs on a device and, for tests without
// one, on the host (tests/manifolds/kernels/emulator.h).
//
//     struct Kernel {
//         static constexpr int THREADS = 128;
//         GC_DEVICE void run(const Thread& t, ...) { ... }
//     };
//     gc_launch<Kernel>(blocks, place, ...)
//
// A Thread knows its place in the grid and talks to its warp and block: sums in a fixed order,
// maxima, votes. All 32 lanes of a warp, or all threads of a block, must take part. Results never
// come from atomic additions of floats, so that they repeat bit by bit; counts of close pairs are
// integers and may.
#pragma once

#include <cstdint>

#include "abi.h"
#include "epilogue.h"

// Where a call runs: scratch memory of the device, and the stream.
struct Place {
    void* work;
    int64_t bytes;
    void* stream;
};

// Status of a call beside those of CUDA: too little scratch memory, a grid beyond what a launch
// takes, rows that two warps would add to.
enum : int { GC_NO_WORK = -1, GC_TOO_LARGE = -2, GC_SHARED_ROWS = -3 };

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define GC_DEVICE static __device__ __forceinline__
#define GC_SHARED(type, name, count) __shared__ type name[count]

struct Thread {
    __device__ __forceinline__ int64_t block() const { return blockIdx.x; }
    __device__ __forceinline__ int64_t blocks() const { return gridDim.x; }
    __device__ __forceinline__ int index() const { return (int)threadIdx.x; }
    __device__ __forceinline__ int lane() const { return (int)(threadIdx.x & 31u); }
    __device__ __forceinline__ int warp() const { return (int)(threadIdx.x >> 5); }

    __device__ __forceinline__ void sync() const { __syncthreads(); }

    // The warp's sum or maximum, the same bits in all lanes.
    template <class T>
    __device__ __forceinline__ T sum(T value) const {
        for (int step = 16; step > 0; step >>= 1)
            value += __shfl_xor_sync(0xffffffffu, value, step);
        return value;
    }
    __device__ __forceinline__ float max(float value) const {
        for (int step = 16; step > 0; step >>= 1) {
            float other = __shfl_xor_sync(0xffffffffu, value, step);
            value = other > value ? other : value;
        }
        return value;
    }
    // Bit l is lane l's vote.
    __device__ __forceinline__ uint32_t vote(bool value) const {
        return __ballot_sync(0xffffffffu, value);
    }
    __device__ __forceinline__ static int first(uint32_t votes) { return __ffs((int)votes) - 1; }

    __device__ __forceinline__ void count(int64_t* total, int64_t value) const {
        atomicAdd((unsigned long long*)total, (unsigned long long)value);
    }
};

template <class Kernel, class... Arguments>
__global__ void __launch_bounds__(Kernel::THREADS, 4) gc_entry(Arguments... arguments) {
    Kernel::run(Thread(), arguments...);
}

// Blocks of Kernel::THREADS threads; the status of the launch.
template <class Kernel, class... Arguments>
int gc_launch(int64_t blocks, const Place* place, Arguments... arguments) {
    if (blocks <= 0) return 0;
    if (blocks > 2147483647) return GC_TOO_LARGE;
    gc_entry<Kernel, Arguments...>
        <<<(unsigned)blocks, Kernel::THREADS, 0, (cudaStream_t)place->stream>>>(arguments...);
    return (int)cudaGetLastError();
}

#else
#include "emulator.h"
#endif

GC_HD int64_t gc_ceil(int64_t n, int64_t step) { return (n + step - 1) / step; }

// Runs launches one after the other until one fails.
#define GC_TRY(call)                  \
    do {                              \
        const int gc_status = (call); \
        if (gc_status != 0) return gc_status; \
    } while (0)

// Parts of the scratch memory, one after the other.
struct Work {
    char* next;
    int64_t left;
    explicit Work(const Place* place) : next((char*)place->work), left(place->bytes) {}
    template <class T>
    T* take(int64_t count) {
        const int64_t bytes = gc_ceil(count * (int64_t)sizeof(T), 256) * 256;
        T* part = (T*)next;
        next += bytes;
        left -= bytes;
        return part;
    }
    bool enough() const { return left >= 0; }
};

// A block of pairs as the kernels cut it up: WARPS warps side by side, SPAN columns a lane, 32 apart.
// STRIPE: rows whose features are added to one part of the centre.
enum : int { STRIPE = 256 };
enum : int { WARPS = 4, SPAN = 4, STEP = 32 * SPAN, WIDTH = WARPS * STEP, HEIGHT = 32 };

// The part of an (rows, columns) block that thread block b works on.
struct Patch {
    int64_t row, row_end, column, column_end;  // columns of the whole thread block
    int64_t at_row, at_column;                 // its place among the patches
    GC_MEMBER Patch(int64_t b, int64_t rows, int64_t columns) {
        const int64_t across = gc_ceil(columns, (int64_t)WIDTH);
        // A launch has less than 2^31 blocks: 32 bits divide faster.
        at_row = (uint32_t)b / (uint32_t)across;
        at_column = (uint32_t)b % (uint32_t)across;
        row = at_row * HEIGHT;
        row_end = row + HEIGHT < rows ? row + HEIGHT : rows;
        column = at_column * WIDTH;
        column_end = column + WIDTH < columns ? column + WIDTH : columns;
    }
};

GC_HD int64_t gc_patches(int64_t rows, int64_t columns) {
    return gc_ceil(rows, (int64_t)HEIGHT) * gc_ceil(columns, (int64_t)WIDTH);
}

// Whether the number of close pairs, known on the device only, lets a kernel go on.
struct Gate {
    const int64_t* close;
    int64_t low, high;
    GC_MEMBER bool open() const { return close == nullptr || (*close >= low && *close <= high); }
};

GC_HD Gate gc_always() { return Gate{nullptr, 0, 0}; }

// out[line] += sum of parts[k * lines + line] over k, in float64.
template <class T>
struct AddParts {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, const T* parts, int64_t count, int64_t lines, double* out,
                       Gate gate) {
        const int64_t line = t.block() * THREADS + t.index();
        if (line >= lines || !gate.open()) return;
        double total = 0;
        for (int64_t k = 0; k < count; ++k) total += (double)parts[k * lines + line];
        out[line] += total;
    }
};

template <class T>
static int add_parts(const Place* place, const T* parts, int64_t count, int64_t lines, double* out,
                     Gate gate) {
    const int64_t blocks = gc_ceil(lines, AddParts<T>::THREADS);
    return gc_launch<AddParts<T>>(blocks, place, parts, count, lines, out, gate);
}

// out[q] += sum of parts[q * count + k] over k; one block for each q.
struct AddTotals {
    static constexpr int THREADS = 256;
    GC_DEVICE void run(const Thread& t, const double* parts, int64_t count, double* out,
                       Gate gate) {
        GC_SHARED(double, shares, THREADS / 32);
        if (!gate.open()) return;
        const double* mine = parts + t.block() * count;
        double total = 0;
        for (int64_t k = t.index(); k < count; k += THREADS) total += mine[k];
        total = t.sum(total);
        if (t.lane() == 0) shares[t.warp()] = total;
        t.sync();
        if (t.index() != 0) return;
        total = 0;
        for (int w = 0; w < THREADS / 32; ++w) total += shares[w];
        out[t.block()] += total;
    }
};
