// The device library's identity, the scratch memory of its calls, and what a status means.
#include "grid.h"

GC_EXPORT int manifolds_abi_version() { return 4; }

#define GC_TEXT_OF(x) #x
#define GC_TEXT(x) GC_TEXT_OF(x)

GC_EXPORT const char* manifolds_isa() {
#ifdef GC_ARCHITECTURES
    return GC_TEXT(GC_ARCHITECTURES);
#else
    return "grid on the host";
#endif
}

// Bytes of scratch memory that any call on a block of pairs (rows x columns), or on rows of
// `features`, takes at most.
GC_EXPORT int64_t manifolds_work(int64_t rows, int64_t columns, int64_t features) {
    const int64_t up = gc_ceil(rows, HEIGHT), across = gc_ceil(columns, WIDTH);
    const int64_t pairwise = 8 * (up * columns + across * rows) + 16 * up * across;
    const int64_t close = 24 * rows;
    const int64_t center = 8 * features * gc_ceil(rows, STRIPE);
    return pairwise + close + center + 16 * 256;
}

GC_EXPORT const char* manifolds_error(int status) {
    if (status == GC_NO_WORK) return "too little scratch memory for this call";
    if (status == GC_TOO_LARGE) return "too many blocks for one launch";
    if (status == GC_SHARED_ROWS) return "a row appears in two pairs";
#ifdef __CUDACC__
    return cudaGetErrorString((cudaError_t)status);
#else
    return "unknown status";
#endif
}
