// Single pairs of points in float64 from differences, given the sums over their features; host and
// device. Formulas as in manifolds/kernels/near.py, which is the torch path.
#pragma once

#include <cmath>
#include <cstdint>

#include "epilogue.h"
#include "scores.h"

enum Space : int64_t { DOT, EUCLIDEAN, SPHERE, LORENTZ, POINCARE };

// What a pair is made of. e = x/|x| - y/|y| = (x - y - in_z z) / longer with z the shorter point and
// in_z = (|x| - |y|) / |z|, and f = x/|x| + y/|y| likewise from x and -y.
struct Pair {
    double xx, yy, dd, xy, n, x_norm, y_norm, longer, in_z;
    bool x_longer, degenerate;
    double e2, f2;
};

GC_HD Pair pair_of(double xx, double yy, double dd, double xy, double nn) {
    Pair p{};
    p.xx = xx, p.yy = yy, p.dd = dd, p.xy = xy;
    p.x_norm = std::sqrt(xx), p.y_norm = std::sqrt(yy);
    p.n = p.x_norm + p.y_norm > 0 ? nn / (p.x_norm + p.y_norm) : 0;
    p.x_longer = p.x_norm >= p.y_norm;
    p.longer = p.x_longer ? p.x_norm : p.y_norm;
    const double shorter = p.x_longer ? p.y_norm : p.x_norm;
    p.degenerate = shorter == 0;
    p.in_z = p.degenerate ? 0 : p.n / shorter;
    return p;
}

// sinh(rx - ry).
GC_HD double radial_sinh(double n, double root_c, double a, double b) {
    const double x_cosh = std::sqrt(1 + a * a), y_cosh = std::sqrt(1 + b * b);
    const double ta = a / x_cosh, tb = b / y_cosh;
    return ta + tb > 0 ? root_c * n * (ta / y_cosh + tb / x_cosh) / (ta + tb) : 0;
}

GC_HD double gap(double norm2, double c) {
    const double value = 1 - c * norm2;
    return value > 0 ? value : (double)gc_float(0x7fc00000);
}

// u, and v = 2 - u on the sphere; e2 and f2 are known where the space is polar.
GC_HD void form_of(int64_t space, double c, const Pair& p, double& u, double& v) {
    v = 0;
    if (space == DOT) u = p.xy;
    if (space == EUCLIDEAN) u = p.dd;
    if (space == POINCARE) u = 2 * c * p.dd / gap(p.xx, c) / gap(p.yy, c);
    if (space == SPHERE) u = p.e2 / 2, v = p.f2 / 2;
    if (space == LORENTZ) {
        const double root_c = std::sqrt(c), a = root_c * p.x_norm, b = root_c * p.y_norm;
        const double s = radial_sinh(p.n, root_c, a, b);
        u = s * s / (1 + std::sqrt(1 + s * s)) + a / 2 * b * p.e2;
    }
}

GC_HD bool is_polar_space(int64_t space) { return space == SPHERE || space == LORENTZ; }

// w du/dc of a pair.
GC_HD double pull_c(int64_t space, double c, const Pair& p, double u, double w) {
    if (space == POINCARE) return w * u * (1 / c + p.xx / gap(p.xx, c) + p.yy / gap(p.yy, c));
    if (space != LORENTZ) return 0;
    const double root_c = std::sqrt(c), a = root_c * p.x_norm, b = root_c * p.y_norm;
    const double x_cosh = std::sqrt(1 + a * a), y_cosh = std::sqrt(1 + b * b);
    const double times = root_c * p.n * (a + b) / (x_cosh + y_cosh);
    return w * (u - times / x_cosh * times / y_cosh / 2) / c;
}

// F(u) and dF/du in float64, v = 2 - u; slope 0 at the kinks of F.
GC_HD double near_score(int64_t function, double u, double v) {
    if (function == IDENTITY) return u;
    if (function == SHIFTED) return u + 1;
    if (function == ROOT) return std::sqrt(u);
    const bool hyperbolic = function == ARCOSH || function == ARCOSH2;
    const double length = hyperbolic ? std::log1p(u + std::sqrt(u) * std::sqrt(u + 2))
                                     : 2 * std::atan2(std::sqrt(u), std::sqrt(v));
    return function == ARCOSH2 || function == ARC2 ? length * length : length;
}

GC_HD double near_slope(int64_t function, double u, double v, double score) {
    if (function == IDENTITY || function == SHIFTED) return 1;
    const bool hyperbolic = function == ARCOSH || function == ARCOSH2;
    const double other = function == ROOT ? 4.0 : hyperbolic ? u + 2 : v;
    if (u == 0 || other == 0) return 0;
    const double slope = 1 / (std::sqrt(u) * std::sqrt(other));
    return function == ARCOSH2 || function == ARC2 ? slope * std::sqrt(score) * 2 : slope;
}
