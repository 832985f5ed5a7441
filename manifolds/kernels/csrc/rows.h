// What one row needs, beside its sums over the features; host and device.
#pragma once

#include "sides.h"

// Exact::SCALE of a row with squared norm `total`.
GC_HD double row_scale(const Problem& p, double total) {
    const int64_t geometry = geometry_of(p.kind);
    if (geometry == LORENTZ) return std::sqrt(1.0 + p.c * total);
    if (geometry != POINCARE) return 1.0;
    double scale = 1.0 - p.c * total;
    return scale > 0 ? scale : (double)gc_float(0x7fc00000);
}

// Factor of x in its feature, 0 for rows that have none to give to the centre.
GC_HD double row_factor(const Problem& p, double norm) {
    return is_polar(p.kind) ? (norm == 0 ? 0.0 : 1.0 / norm) : 1.0;
}

// A bad row makes its own results NaN, not the centre.
GC_HD bool row_counts(const Problem& p, double norm, double scale) {
    return norm < 1e300 && scale < 1e300 && !(is_polar(p.kind) && norm == 0);
}

struct RowTerms {
    double alpha, sinh, cosh;
};

GC_HD RowTerms row_terms(const Problem& p, double norm, double scale) {
    const double root_c = std::sqrt(p.c);
    RowTerms r{1.0, root_c * norm, scale};
    if (p.kind == POINCARE_ANGLE) {
        r.sinh = 2.0 * root_c * norm / scale;
        r.cosh = (2.0 - scale) / scale;
    }
    if (p.kind == EUCLIDEAN_ANGLE) r.sinh = norm;
    if (p.kind == LORENTZ) r.alpha = r.sinh * 0.70710678118654752;
    if (p.kind == POINCARE) r.alpha = root_c * 1.41421356237309505 / scale;
    return r;
}

// The float32 table of row i; total = |x'|^2.
GC_HD void fill_table(const Side& s, int64_t i, const RowTerms& r, double total) {
    s.table[ALPHA * s.n + i] = (float)r.alpha;
    s.table[ALPHA_P * s.n + i] = (float)(r.alpha * total);
    float high = (float)r.sinh;
    s.table[SINH * s.n + i] = high;
    s.table[SINH_LOW * s.n + i] = (float)(r.sinh - (double)high);
    s.table[COSH * s.n + i] = (float)r.cosh;
}

// gradient = first (x' weight - v) + second x; the sphere's second also takes the part along x off.
struct RowGradient {
    double first, second;
};

GC_HD RowGradient row_gradient(const Problem& p, double norm, double scale, double extra) {
    const double root_c = std::sqrt(p.c), unit = norm == 0 ? 0.0 : 1.0 / norm;
    RowGradient r{1.0, 0.0};
    if (p.kind == EUCLIDEAN2) r.first = 2.0;
    if (p.kind == LORENTZ) {
        r.first = 1.41421356237309505;
        r.second = extra / scale * unit;
    }
    if (p.kind == POINCARE) {
        r.first = 2.0 * 1.41421356237309505 / scale;
        r.second = 2.0 * root_c * extra / scale;
    }
    if (p.kind == SPHERE) r.first = unit / root_c;
    return r;
}
