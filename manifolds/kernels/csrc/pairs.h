// One pair of points, given the matrix product of its scaled, centred features; host and device.
//
// With p = |x'|^2 for x' the centred feature of x (unit vector or point minus a common centre) and a
// scale alpha, the product g = <alpha x', beta y'> gives
//
//     alpha beta |x' - y'|^2 = T - 2 g,    T = alpha p beta + alpha beta q
//
//     lorentz    u = cosh D - 1 = (a - b)^2 / (1 + a b + cosh rx cosh ry) + (T - 2 g),
//                alpha = sqrt(c/2)|x|, x' from x/|x|; a = sinh rx = sqrt(c)|x|: a sum of squares
//     poincare   u = T - 2 g, alpha = sqrt(2c)/X, X = 1 - c|x|^2, x' from x
//     euclidean  |x - y|^2 = T - 2 g, alpha = 1, x' from x
//     sphere     |e|^2 = T - 2 g = 4 sin^2(theta/2), alpha = 1, x' from x/|x|
//
// The product is off by about eps sqrt(d) T, so a pair is *resolved* where the result is above
// `close` T; the others are computed from differences (direct.h). a - b is formed from (high, low)
// halves of a, so radial separations keep all digits.
#pragma once

#include "epilogue.h"

enum Kind : int { LORENTZ = 0, POINCARE = 1, EUCLIDEAN = 2, EUCLIDEAN2 = 3, SPHERE = 4 };

// Columns of the float32 row table, each of length n.
enum Field : int { ALPHA = 0, ALPHA_P = 1, SINH = 2, SINH_LOW = 3, COSH = 4, FIELDS = 5 };

struct Terms {
    float alpha, alpha_p, sinh, sinh_low, cosh;
};

template <int KIND>
GC_HD Terms gc_terms(const float* table, int64_t n, int64_t i) {
    Terms t{};
    t.alpha = table[ALPHA * n + i];
    t.alpha_p = table[ALPHA_P * n + i];
    if (KIND == LORENTZ) {
        t.sinh = table[SINH * n + i];
        t.sinh_low = table[SINH_LOW * n + i];
        t.cosh = table[COSH * n + i];
    }
    return t;
}

// a - b = sinh rx - sinh ry, to its last digits.
GC_HD float gc_radial(const Terms& x, const Terms& y) {
    return (x.sinh - y.sinh) + (x.sinh_low - y.sinh_low);
}

GC_HD float gc_total(const Terms& x, const Terms& y) {
    return gc_fma(x.alpha_p, y.alpha, x.alpha * y.alpha_p);
}

// The range in which float32 holds u and its square root, and, on the sphere, the antipode.
#define GC_Q_MIN 1e-30f
#define GC_Q_MAX 1e37f

template <int KIND>
GC_HD bool gc_resolved(float q, float total, float close) {
    bool fine = q > close * total && q > GC_Q_MIN && q < GC_Q_MAX;  // false for NaN
    return KIND == SPHERE ? fine && q < 4.0f - 4.0f * close : fine;
}

// Distance times 1/scale from the product g; `fine` is false where it is not resolved.
template <int KIND>
GC_HD float gc_value(float g, const Terms& x, const Terms& y, float close, bool& fine) {
    float total = gc_total(x, y);
    float q = gc_fma(-2.0f, g, total);
    if (KIND == LORENTZ) {
        float n = gc_radial(x, y);
        q += n * n / gc_fma(x.cosh, y.cosh, gc_fma(x.sinh, y.sinh, 1.0f));
    }
    fine = gc_resolved<KIND>(q, total, close);
    q = fine ? q : 1.0f;
    if (KIND == EUCLIDEAN2) return q;
    if (KIND == EUCLIDEAN) return gc_sqrt(q);
    if (KIND == SPHERE) return 2.0f * gc_asin_root(0.25f * q, 0.5f * gc_sqrt(q));
    return gc_acosh1p(q);
}

// What the gradient takes from a pair, each times the incoming gradient g.
struct Slope {
    float weight;  // of the feature difference x' - y' (times alpha beta)
    float half;    // hyperbolic: g tanh(D/2)
    float radial;  // lorentz: weight sinh(rx - ry)
};

// From the distance `d` (times 1/scale), so that nothing but the result is kept for the backward
// pass. weight: hyperbolic g/sinh D, sphere g/sin theta, euclidean g/d, its square g.
template <int KIND>
GC_HD Slope gc_slope(float d, float g, const Terms& x, const Terms& y, float close, bool& fine) {
    float total = gc_total(x, y);
    Slope out{};
    if (KIND == EUCLIDEAN2 || KIND == EUCLIDEAN) {
        fine = gc_resolved<KIND>(KIND == EUCLIDEAN ? d * d : d, total, close);
        out.weight = KIND == EUCLIDEAN ? g / d : g;
    } else if (KIND == SPHERE) {
        float s, c;
        gc_sincos(0.5f * d, s, c);
        fine = gc_resolved<KIND>(4.0f * s * s, total, close);
        out.weight = 0.5f * g / (s * c);
    } else {
        float e, q;  // sinh D = q (2 - q) / (2 e), cosh D - 1 = q^2 / (2 e), tanh(D/2) = q / (2 - q)
        gc_exp_minus(d, e, q);
        float q2 = q * q, e2 = 2.0f * e;
        fine = q2 > e2 * (close * total) && q2 > e2 * GC_Q_MIN && q2 < e2 * GC_Q_MAX;
        float inverse = g / gc_fma(-q, q, 2.0f * q);
        out.weight = e2 * inverse;
        out.half = q2 * inverse;
        if (KIND == LORENTZ) {
            float mixed = gc_fma(x.sinh, y.cosh, y.sinh * x.cosh);
            out.radial = out.weight * gc_radial(x, y) * (x.sinh + y.sinh) / (mixed + 1e-37f);
        }
    }
    // A denormal weight slows the product after it.
    out.weight = gc_abs(out.weight) < 1.2e-38f ? 0.0f : out.weight;
    return out;
}
