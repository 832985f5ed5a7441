// What the passes over rows share between host and device. Notation: x^ = x/|x|, T(v, w) the part of
// v across w, m the sign of <x, y>, and 0 where the first is much shorter than the second.
#pragma once

#include <cmath>
#include <cstdint>

#include "epilogue.h"

// What cancels down to this share of itself is computed again without cancellation.
#define SAFE 9.5367431640625e-07  // 2^-20

GC_HD double near_sign(double v_norm, double w_norm, double product) {
    return 2 * v_norm >= w_norm ? std::copysign(1.0, product) : 0.0;
}

GC_HD double positive(double norm) { return norm + (norm == 0 ? 1.0 : 0.0); }

struct Rows {
    const float* data;
    int64_t ld;
    GC_MEMBER const float* row(int64_t i) const { return data + i * ld; }
};

// What polar_rows gives for a pair, from products alone; below SAFE the caller sums the last three
// again without cancellation.
struct Polar {
    double nx, ny, m, sine2;
    double step_x, step_y, length;  // <x - m y, x>, <x - m y, y^>, |T(x, y)|
};

GC_HD Polar polar_of(double xx, double yy, double xy) {
    Polar p;
    p.nx = std::sqrt(xx), p.ny = std::sqrt(yy), p.m = near_sign(p.nx, p.ny, xy);
    const double cosine = xy / positive(p.nx) / positive(p.ny);
    p.sine2 = (1 - cosine) * (1 + cosine);
    p.step_x = xx - p.m * xy, p.step_y = xy / positive(p.ny) - p.m * p.ny;
    p.length = p.nx * std::sqrt(p.sine2 > 0 ? p.sine2 : (p.sine2 == p.sine2 ? 0.0 : p.sine2));
    return p;
}

// What the gradients at both ends need of the six rows (6, n) of polar_rows.
struct PolarEnds {
    double nx, ny, near_x, near_y, along_x, along_y, across_x, across_y;
};

GC_HD PolarEnds polar_ends(const double* polar, int64_t n, int64_t i) {
    const double xy = polar[2 * n + i], step_x = polar[3 * n + i];
    PolarEnds e;
    e.nx = polar[i], e.ny = polar[n + i], e.along_y = polar[4 * n + i];
    e.across_x = polar[5 * n + i];
    e.near_x = near_sign(e.ny, e.nx, xy), e.near_y = near_sign(e.nx, e.ny, xy);
    // <y - m x, x^>, which is that of x - m y but for signs where m is the same.
    e.along_x = e.near_x * e.near_y != 0 ? -e.near_x * step_x / positive(e.nx)
                                         : xy / positive(e.nx) - e.near_x * e.nx;
    e.across_y = e.across_x / positive(e.nx) * e.ny;
    return e;
}

// Whether p w^ + q T(v, w) cancels when T is formed from v itself; whole = <v, w^>.
GC_HD bool pull_cancels(double whole, double p, double q, double turned) {
    return std::hypot(p, q * turned) < SAFE * (std::fabs(q) * std::hypot(whole, turned));
}
