// Two sets of points, their prepared rows, and how work is split over threads.
#pragma once

#include "abi.h"
#include "pairs.h"

// Columns of the float64 row table, each of length n. SCALE: lorentz cosh r = sqrt(1 + c|x|^2),
// poincare X = 1 - c|x|^2 (float32 squares are exact in float64), NaN off the ball; else 1.
enum Exact : int { NORM = 0, SCALE = 1, EXACTS = 2 };

struct Side {
    const float* points;  // (n, d), rows `ld` apart
    int64_t ld;
    int64_t n;
    float* table;    // (FIELDS, n)
    double* exact;   // (EXACTS, n)
    float* scaled;   // (n, d): alpha x', the factor of the matrix product
};

struct Problem {
    int64_t kind;
    int64_t d;
    int64_t threads;
    double c;      // curvature magnitude; 1 where there is none
    double close;  // pairs below close * T are computed from differences
    const double* center;  // (d)
    Side x, y;
};

// The float32 table by columns.
struct Columns {
    const float *alpha, *alpha_p, *sinh, *low, *cosh;
    explicit Columns(const Side& s)
        : alpha(s.table + ALPHA * s.n),
          alpha_p(s.table + ALPHA_P * s.n),
          sinh(s.table + SINH * s.n),
          low(s.table + SINH_LOW * s.n),
          cosh(s.table + COSH * s.n) {}
};

template <int KIND>
struct Is {
    static constexpr bool polar = KIND == LORENTZ || KIND == SPHERE;  // features are unit vectors
    static constexpr bool hyperbolic = KIND == LORENTZ || KIND == POINCARE;
};

// Factor between the unit-free value of pairs.h and the distance: 1/sqrt(c), or 1.
GC_INLINE double distance_scale(const Problem& p) {
    return p.kind == EUCLIDEAN || p.kind == EUCLIDEAN2 ? 1.0 : 1.0 / __builtin_sqrt(p.c);
}

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

// f.template operator()<KIND>() for a kind known at run time.
#define GC_SWITCH(kind, CALL)                   \
    switch (kind) {                             \
        case LORENTZ: CALL(LORENTZ); break;     \
        case POINCARE: CALL(POINCARE); break;   \
        case EUCLIDEAN: CALL(EUCLIDEAN); break; \
        case EUCLIDEAN2: CALL(EUCLIDEAN2); break; \
        case SPHERE: CALL(SPHERE); break;       \
        default: break;                         \
    }
