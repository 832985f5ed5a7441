// What grid.h takes in place of CUDA where g++ compiles the device sources: threads are fibers that
// take turns on one core, so that barriers, votes and sums over a warp are real, and a barrier that
// not all threads reach is found. Blocks run one after the other.
#pragma once

#include <cstdint>
#include <cstring>

// Warnings about device code that a host compiler sees are real ones.
#define GC_DEVICE static inline
// Blocks never overlap: one copy serves them all.
#define GC_SHARED(type, name, count) static type name[count]

namespace grid {

// The fiber that runs, and what it knows.
struct Self {
    int64_t block, blocks;
    int index;
};
extern Self* self;

void block_barrier();
// Exchanges 8 bytes with the warp: `all` gets those of its 32 lanes.
const uint64_t* exchange(uint64_t mine);
// Runs body(argument) as every thread of every block.
int run(int64_t blocks, int threads, void (*body)(void*), void* argument);

}  // namespace grid

struct Thread {
    int64_t block() const { return grid::self->block; }
    int64_t blocks() const { return grid::self->blocks; }
    int index() const { return grid::self->index; }
    int lane() const { return index() & 31; }
    int warp() const { return index() >> 5; }
    void sync() const { grid::block_barrier(); }

    template <class T>
    T sum(T value) const {
        return reduce(value, [](T a, T b) { return a + b; });
    }
    float max(float value) const {
        return reduce(value, [](float a, float b) { return b > a ? b : a; });
    }
    uint32_t vote(bool value) const {
        const uint64_t* all = grid::exchange(value);
        uint32_t votes = 0;
        for (int l = 0; l < 32; ++l) votes |= (uint32_t)(all[l] != 0) << l;
        return votes;
    }
    static int first(uint32_t votes) { return __builtin_ctz(votes); }
    void count(int64_t* total, int64_t value) const { *total += value; }

private:
    // The butterfly of grid.h: the same operations in the same order.
    template <class T, class Operation>
    T reduce(T value, Operation operation) const {
        static_assert(sizeof(T) <= 8, "one exchange");
        uint64_t bits = 0;
        memcpy(&bits, &value, sizeof(T));
        const uint64_t* all = grid::exchange(bits);
        T values[32], next[32];
        for (int l = 0; l < 32; ++l) memcpy(&values[l], &all[l], sizeof(T));
        for (int step = 16; step > 0; step >>= 1) {
            for (int l = 0; l < 32; ++l) next[l] = operation(values[l], values[l ^ step]);
            memcpy(values, next, sizeof(values));
        }
        return values[lane()];
    }
};

struct Place;

template <class Kernel, class... Arguments>
int gc_launch(int64_t blocks, const Place*, Arguments... arguments) {
    auto body = [&] { Kernel::run(Thread(), arguments...); };
    return grid::run(
        blocks, Kernel::THREADS, [](void* f) { (*(decltype(body)*)f)(); }, &body);
}
