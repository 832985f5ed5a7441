// How work is split over threads.
#pragma once

#include "abi.h"

// body(begin, end, thread) over [0, n) in one contiguous share a thread: the same split, and so the
// same rounding, at every call.
template <class Body>
static inline void shares(int64_t n, int64_t threads, const Body& body) {
    if (threads > n) threads = n;
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads((int)threads)
        {
            int64_t count = omp_get_num_threads(), me = omp_get_thread_num();
            body(n * me / count, n * (me + 1) / count, me);
        }
        return;
    }
#endif
    if (n > 0) body((int64_t)0, n, (int64_t)0);
}
