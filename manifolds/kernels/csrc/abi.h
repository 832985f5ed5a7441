// Shared by all sources: exports; for the host ISA clones and threads.
//
// ABI: extern "C", raw pointers (row-major, leading dimension in elements), int64_t sizes, double
// scalars; 0 on success. Sources are plain C++17 without torch. The libraries of host and device
// export the same functions; the last argument says where they run: the number of threads on the
// host, a Place (grid.h) on a device.
#pragma once

#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

#define GC_EXPORT extern "C" __attribute__((visibility("default")))

// One binary, the widest vectors of the machine that runs it. A cloned function must contain its
// loops itself (always_inline callees are fine) and no `omp parallel`: outlined bodies are not
// cloned.
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && \
    ((defined(__clang__) && __clang_major__ >= 17) || (!defined(__clang__) && __GNUC__ >= 12))
#define GC_HAS_CLONES 1
#define GC_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GC_HAS_CLONES 0
#define GC_CLONES
#endif

#define GC_INLINE static inline __attribute__((always_inline))
