// Two sets of points and their prepared rows; host and device.
#pragma once

#include <cmath>
#include <cstdint>

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
    double c;      // curvature magnitude; 1 where there is none
    double close;  // pairs below close * T are computed from differences
    const double* center;  // (d)
    Side x, y;
};

// The float32 table by columns.
struct Columns {
    const float *alpha, *alpha_p, *radial, *low, *other, *sech;
    GC_MEMBER explicit Columns(const Side& s)
        : alpha(s.table + ALPHA * s.n),
          alpha_p(s.table + ALPHA_P * s.n),
          radial(s.table + RADIAL * s.n),
          low(s.table + RADIAL_LOW * s.n),
          other(s.table + OTHER * s.n),
          sech(s.table + SECH * s.n) {}
};

template <int KIND>
struct Is {
    static constexpr bool hyperbolic = KIND == LORENTZ || KIND == POINCARE;
};

GC_HD bool is_angle(int64_t kind) { return kind >= LORENTZ_ANGLE; }

// Whether features are unit vectors.
GC_HD bool is_polar(int64_t kind) {
    return kind == LORENTZ || kind == SPHERE || is_angle(kind);
}

// Whether the close form is |e|^2 itself, which loses its digits at the antipode too.
GC_HD bool is_spherical(int64_t kind) { return kind == SPHERE || is_angle(kind); }

GC_HD int64_t geometry_of(int64_t kind) {
    return kind == LORENTZ_ANGLE    ? (int64_t)LORENTZ
           : kind == POINCARE_ANGLE ? (int64_t)POINCARE
           : kind == EUCLIDEAN_ANGLE ? (int64_t)EUCLIDEAN
                                     : kind;
}

// Factor between the unit-free value of pairs.h and the distance: 1/sqrt(c), or 1.
GC_HD double distance_scale(const Problem& p) {
    bool plain = p.kind == EUCLIDEAN || p.kind == EUCLIDEAN2 || is_angle(p.kind);
    return plain ? 1.0 : 1.0 / std::sqrt(p.c);
}

// CALL(KIND) for a kind known at run time.
#define GC_SWITCH(kind, CALL)                   \
    switch (kind) {                             \
        case LORENTZ: CALL(LORENTZ); break;     \
        case POINCARE: CALL(POINCARE); break;   \
        case EUCLIDEAN: CALL(EUCLIDEAN); break; \
        case EUCLIDEAN2: CALL(EUCLIDEAN2); break; \
        case SPHERE: CALL(SPHERE); break;       \
        default: break;                         \
    }
