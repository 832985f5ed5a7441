// The library's identity. Everything exported is a C function `manifolds_*`.
#include "abi.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

GC_EXPORT int manifolds_abi_version() { return 4; }

// Name of the instruction set that target_clones picks here.
GC_EXPORT const char* manifolds_isa() {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return GC_HAS_CLONES ? "AVX512" : "x86-64";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return GC_HAS_CLONES ? "AVX2" : "x86-64";
    return "x86-64";
#elif defined(__aarch64__)
    return "NEON";
#else
    return "generic";
#endif
}

// Asks for large pages under fresh memory: the first touch of a big matrix in pages of 4 KB costs
// as much as a pass of the epilogue over it. A hint; where it is not taken nothing is lost.
GC_EXPORT int manifolds_large_pages(void* start, int64_t bytes, int64_t) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)start + page - 1) / page * page;
    const uintptr_t to = ((uintptr_t)start + (uintptr_t)bytes) / page * page;
    if (to > from) madvise((void*)from, to - from, MADV_HUGEPAGE);
#else
    (void)start, (void)bytes;
#endif
    return 0;
}
