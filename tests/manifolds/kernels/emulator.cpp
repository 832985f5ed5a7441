// The scheduler of the grid on the host (emulator.h).
#include "emulator.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace grid {

Self* self;

namespace {

constexpr size_t STACK = 64 << 10;

struct Warp {
    int arrived = 0, lanes = 0;
    int64_t generation = 0;
    uint64_t slots[2][32];
};

struct Fiber {
    ucontext_t start;
    jmp_buf jump;
    bool started = false, done = false;
    Self self;
    std::vector<char> stack = std::vector<char>(STACK);
};

std::vector<Fiber> fibers;
std::vector<Warp> warps;
jmp_buf scheduler;
Fiber* running;
int arrived, alive;
int64_t generation, events;  // events: anything that brings a waiting fiber closer to its release
void (*run_body)(void*);
void* run_argument;

void entry() {
    run_body(run_argument);
    running->done = true;
    --alive;
    ++events;
    _longjmp(scheduler, 1);
}

void yield() {
    if (_setjmp(running->jump) == 0) _longjmp(scheduler, 1);
}

void resume(Fiber& fiber) {
    running = &fiber;
    self = &fiber.self;
    if (_setjmp(scheduler) != 0) return;
    if (fiber.started) _longjmp(fiber.jump, 1);
    fiber.started = true;
    setcontext(&fiber.start);
}

}  // namespace

void block_barrier() {
    const int64_t mine = generation;
    ++events;
    if (++arrived == (int)fibers.size()) {
        arrived = 0;
        ++generation;
    }
    while (generation == mine) yield();
}

const uint64_t* exchange(uint64_t value) {
    Warp& warp = warps[self->index / 32];
    const int64_t mine = warp.generation;
    // A lane may run ahead by one exchange, not by two: two sets of slots.
    uint64_t* slots = warp.slots[mine & 1];
    slots[self->index % 32] = value;
    ++events;
    if (++warp.arrived == warp.lanes) {
        warp.arrived = 0;
        ++warp.generation;
    }
    while (warp.generation == mine) yield();
    return slots;
}

int run(int64_t blocks, int threads, void (*body)(void*), void* argument) {
    if (threads % 32 != 0) return 1;
    if ((int)fibers.size() != threads) fibers = std::vector<Fiber>(threads);
    run_body = body;
    run_argument = argument;
    for (int64_t b = 0; b < blocks; ++b) {
        warps.assign(threads / 32, Warp{});
        for (Warp& warp : warps) warp.lanes = 32;
        arrived = 0;
        alive = threads;
        for (int i = 0; i < threads; ++i) {
            Fiber& fiber = fibers[i];
            fiber.self = Self{b, blocks, i};
            fiber.started = fiber.done = false;
            getcontext(&fiber.start);
            fiber.start.uc_stack.ss_sp = fiber.stack.data();
            fiber.start.uc_stack.ss_size = fiber.stack.size();
            fiber.start.uc_link = nullptr;
            makecontext(&fiber.start, entry, 0);
        }
        while (alive > 0) {
            const int64_t before = events;
            for (Fiber& fiber : fibers)
                if (!fiber.done) resume(fiber);
            if (events == before) {
                // Some threads have left, or wait somewhere else: on a device this hangs.
                fprintf(stderr, "grid: %d threads of block %lld wait forever\n", alive,
                        (long long)b);
                return 2;
            }
        }
    }
    return 0;
}

}  // namespace grid
