// The library's identity. Everything exported is a C function `manifolds_*`.
#include "abi.h"

GC_EXPORT int manifolds_abi_version() { return 1; }

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
