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
    double alpha, radial, other, sech;  // as Field
};

GC_HD RowTerms row_terms(const Problem& p, double norm, double scale) {
    const double root_c = std::sqrt(p.c);
    RowTerms r{1.0, root_c * norm, scale, 0.0};
    if (p.kind == POINCARE_ANGLE) {
        r.radial = 2.0 * root_c * norm / scale;
        r.other = (2.0 - scale) / scale;
    }
    if (p.kind == EUCLIDEAN_ANGLE) r.radial = norm;
    if (p.kind == LORENTZ) {
        const double sinh = root_c * norm;
        r.alpha = sinh * 0.70710678118654752;
        r.radial = 0.5 * (sinh + sinh / (1.0 + scale) * sinh);  // e^r - 1 = sinh + (cosh - 1)
        r.other = 1.0 / (sinh + scale);
        r.sech = 1.0 / scale;
    }
    if (p.kind == POINCARE) r.alpha = root_c * 1.41421356237309505 / scale;
    return r;
}

// The float32 table of row i; total = |x'|^2.
GC_HD void fill_table(const Side& s, int64_t i, const RowTerms& r, double total) {
    const float alpha_p = (float)(r.alpha * total), other = (float)r.other;
    float high = (float)r.radial;
    // A row that leaves the range of float32 is resolved against nobody, and adds 0 to every sum.
    if (!(gc_abs(alpha_p) < GC_Q_MAX && high < GC_Q_MAX && other < GC_Q_MAX)) {
        for (int field = 0; field < FIELDS; ++field) s.table[field * s.n + i] = 0.0f;
        s.table[ALPHA_P * s.n + i] = gc_float(0x7f800000);
        return;
    }
    s.table[ALPHA * s.n + i] = (float)r.alpha;
    s.table[ALPHA_P * s.n + i] = alpha_p;
    s.table[RADIAL * s.n + i] = high;
    s.table[RADIAL_LOW * s.n + i] = (float)(r.radial - (double)high);
    s.table[OTHER * s.n + i] = other;
    s.table[SECH * s.n + i] = (float)r.sech;
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
