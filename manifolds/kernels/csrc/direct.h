// Single pairs from differences, for those that the matrix product does not resolve.
//
// Polar kinds: with n = |x| - |y|, z the shorter of the two and t = (x - y) - (n/|z|) z,
//
//     e = x/|x| - y/|y| = t / longer        |x||y||e|^2 = |t|^2 shorter / longer
//     s^2 = sinh^2(D/2) = c n^2 / (2 (1 + a b + cosh rx cosh ry)) + (c/4)|x||y||e|^2
//
// The vector loops of the host run in float32, where x - y is exact to half a unit in the last place. They run
// in float64 where that is not enough: n from separate norms has no digits left, t is short beside
// n (nearly radial pairs far out), or squares leave the range of float32; those of a device run in
// float64. On the sphere, y is
// replaced by -y where that is the nearer one.
#pragma once

#include "sides.h"

struct Near {
    double s;       // sinh(D/2), |x - y|, or |e|/2 (of the nearer of y and -y)
    double n;       // |x| - |y|
    double longer;  // of |x| and |y|; 1 for the flat kinds
    float sign;     // of y
    float in_x, in_y;  // t = (x - sign y) - in_x x - in_y sign y
    bool wide;      // whether t needs float64
};

enum : int64_t { CHUNK = 256 };  // pairs of one row handled together

// What the gradient at x takes from a close pair, each times the incoming gradient g.
struct Pull {
    double weight;  // as Slope::weight
    double half;    // hyperbolic: g tanh(D/2)
    double radial;  // lorentz: weight sinh(rx - ry)
    double along;   // of t in v = -(sum of weighted differences)
};

// Coefficients of t for known n; e = 0 at the root's own side needs none.
GC_HD void set_shorter(Near& p, double nx, double ny) {
    bool x_longer = nx >= ny;
    double shorter = x_longer ? ny : nx, ratio = shorter == 0 ? 0.0 : p.n / shorter;
    p.longer = x_longer ? nx : ny;
    p.in_x = x_longer ? 0.0f : (float)ratio;
    p.in_y = x_longer ? (float)ratio : 0.0f;
}

// t[k] in float64.
GC_HD double wide_t(double x, double y, double in_x, double in_y) {
    return (x - y) - in_x * x - in_y * y;
}

GC_HD void wide_ratios(bool polar, const Near& p, double nx, double ny, double& in_x, double& in_y) {
    in_x = in_y = 0;
    if (!polar) return;
    double shorter = nx >= ny ? ny : nx, ratio = shorter == 0 ? 0.0 : p.n / shorter;
    (nx >= ny ? in_y : in_x) = ratio;
}

// s from |t|^2.
GC_HD double gc_direct_s(const Problem& p, const Near& q, double t2, double nx, double fx, double ny,
                         double fy) {
    if (p.kind == LORENTZ) {
        double shorter = nx < ny ? nx : ny, root = std::sqrt(p.c);
        double across = q.longer == 0 ? 0.0 : 0.25 * p.c * t2 * (shorter / q.longer);
        double along = root * q.n;  // a - b
        return std::sqrt(along * along / (2 * (1 + root * nx * (root * ny) + fx * fy)) + across);
    }
    if (p.kind == POINCARE) return std::sqrt(p.c * t2 / fx / fy);
    if (is_spherical(p.kind)) return q.longer == 0 ? 0.0 : std::sqrt(t2) / (2 * q.longer);
    return std::sqrt(t2);
}

GC_HD double direct_angle(const Problem& p, const Near& q, double nx, double fx, double ny, double fy) {
    if (nx == 0) return fx == fx && fy == fy ? 0.0 : fx + fy;
    double root_c = std::sqrt(p.c), a = nx, b = ny, apart = q.n, x_cosh = 1, y_cosh = 1;
    if (p.kind == LORENTZ_ANGLE) {
        a = root_c * nx;
        b = root_c * ny;
        apart = root_c * q.n;
        x_cosh = fx;
        y_cosh = fy;
    }
    if (p.kind == POINCARE_ANGLE) {
        a = 2 * root_c * nx / fx;
        b = 2 * root_c * ny / fy;
        apart = 2 * root_c * q.n * (1 + p.c * nx * ny) / fx / fy;
        x_cosh = (2 - fx) / fx;
        y_cosh = (2 - fy) / fy;
    }
    double s2 = q.s * q.s, cos2 = 1 - s2 > 0 ? 1 - s2 : (s2 == s2 ? 0.0 : s2);
    double e2 = 4 * (q.sign > 0 ? s2 : cos2);
    double radial = apart * ((a + b) / (a * y_cosh + b * x_cosh));
    double along = -radial - b * x_cosh * e2 / 2, across = b * 2 * q.s * std::sqrt(cos2);
    return across == 0 && along == 0 ? 0.0 : std::atan2(across, along);
}

// Distance times 1/scale, or the exterior angle, of row i of x and row j of y.
GC_HD double gc_direct_value(const Problem& p, const Near& q, int64_t i, int64_t j) {
    if (p.kind == EUCLIDEAN) return q.s;
    if (p.kind == EUCLIDEAN2) return q.s * q.s;
    if (p.kind == SPHERE) {
        double angle = 2 * std::asin(q.s > 1 ? 1.0 : q.s);
        return q.sign < 0 ? 3.14159265358979324 - angle : angle;
    }
    if (is_angle(p.kind))
        return direct_angle(p, q, p.x.exact[NORM * p.x.n + i], p.x.exact[SCALE * p.x.n + i],
                            p.y.exact[NORM * p.y.n + j], p.y.exact[SCALE * p.y.n + j]);
    return 2 * std::asinh(q.s);
}

GC_HD Pull gc_direct_slope(const Problem& p, const Near& q, double g, double nx, double fx, double ny,
                           double fy) {
    Pull out{};
    const int64_t kind = p.kind;
    double root_c = std::sqrt(p.c);
    if (q.s == 0) return out;  // gradient 0 at x = y, and at antipodes
    if (kind == EUCLIDEAN2) {
        out.weight = out.along = g;
    } else if (kind == EUCLIDEAN) {
        out.weight = out.along = g / q.s;
    } else if (kind == SPHERE) {
        double rest = 1 - q.s * q.s;
        out.weight = g / (2 * q.s * std::sqrt(rest > 0 ? rest : 0.0));
        out.along = q.sign * out.weight / q.longer;
    } else {
        double cosh_half = std::sqrt(1 + q.s * q.s);
        out.weight = g / (2 * q.s * cosh_half);
        out.half = g * q.s / cosh_half;
        if (kind == LORENTZ) {
            double a = root_c * nx, b = root_c * ny;
            double mixed = a * fy + b * fx;
            out.radial = mixed == 0 ? 0.0 : out.weight * root_c * q.n * (a + b) / mixed;
            out.along = out.weight * b * 0.70710678118654752 / q.longer;
        }
        if (kind == POINCARE) out.along = out.weight * root_c * 1.41421356237309505 / fy;
    }
    return out;
}

// The host's loops (direct.cpp).

// Row i of side a against k <= CHUNK rows of side b.
void gc_direct(const Problem& p, const Side& a, int64_t i, const Side& b, const int64_t* js,
               int64_t k, Near* near);

// Row i of side a against its close pairs js of side b, with incoming gradients gs: v -= sum of
// along t; adds to *extra (backward.cpp) and, if `curvature`, to *by_c. `partial` holds d floats.
void gc_pull(const Problem& p, const Side& a, int64_t i, const Side& b, const int64_t* js,
             const float* gs, int64_t k, bool curvature, float* v, double* extra, double* by_c,
             float* partial);
